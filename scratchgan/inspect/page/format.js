// How numbers, shapes and times are written, and elements made. Text only ever becomes a text node.

// A number with 6 significant digits, as Python's "%.6g" writes it.
function number(x) {
  if (x === null || x === undefined) return "–";
  if (typeof x === "string") return x;
  if (Number.isNaN(x)) return "nan";
  if (!Number.isFinite(x)) return x > 0 ? "inf" : "-inf";
  if (x === 0) return Object.is(x, -0) ? "-0" : "0";
  const exponent = Number(x.toExponential(5).split("e")[1]);
  if (exponent < -4 || exponent >= 6) {
    const [mantissa, power] = x.toExponential(5).split("e");
    const short = mantissa.includes(".") ? mantissa.replace(/\.?0+$/, "") : mantissa;
    const sign = power[0] === "-" ? "-" : "+", digits = power.replace(/^[+-]/, "");
    return `${short}e${sign}${digits.padStart(2, "0")}`;
  }
  const text = x.toFixed(Math.max(5 - exponent, 0));
  return text.includes(".") ? text.replace(/\.?0+$/, "") : text;
}

// The same with 3 digits, for labels.
function brief(x) { return x === null || x === undefined || typeof x === "string" ? number(x) : number(Number(x.toPrecision(3))); }

function count(n) { return n.toLocaleString("en"); }
function shape(s) { return s.length ? s.join("×") : "scalar"; }
function bytes(n) {
  for (const [unit, limit] of [["GiB", 2 ** 30], ["MiB", 2 ** 20], ["KiB", 2 ** 10]]) if (n >= limit) return `${(n / limit).toPrecision(3)} ${unit}`;
  return `${n} B`;
}
function duration(ns) {
  if (ns === null || ns === undefined) return "did not finish";
  for (const [unit, limit] of [["s", 1e9], ["ms", 1e6], ["µs", 1e3]]) if (ns >= limit) return `${(ns / limit).toPrecision(3)} ${unit}`;
  return `${ns} ns`;
}
function percent(x) { return x === null || x === undefined ? "–" : `${number(Number((x * 100).toPrecision(3)))} %`; }
function plural(n, word) { return `${count(n)} ${word}${n === 1 ? "" : "s"}`; }

// make("p.class", {attributes}, ...children): a string among the children becomes text.
function make(kind, attributes, ...children) {
  const [tag, ...classes] = kind.split(".");
  const element = document.createElement(tag);
  if (classes.length) element.className = classes.join(" ");
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter(c => c !== null && c !== undefined));
  return element;
}

function section(title, open, ...children) {
  return make("details", { open }, make("summary.section", {}, title), ...children);
}

// Sections that are expensive are filled when they are opened.
function lazily(title, fill) {
  const box = make("details", {}, make("summary.section", {}, title));
  box.addEventListener("toggle", () => { if (box.open && box.children.length === 1) box.append(...[fill()].flat()); });
  return box;
}

function facts(rows) {
  return make("table", {}, make("tbody", {}, rows.filter(r => r).map(([name, value]) =>
    make("tr", {}, make("th", { scope: "row" }, name), make("td", {}, value)))));
}

function colour(name) { return getComputedStyle(document.documentElement).getPropertyValue(name).trim(); }

// Which link leads to an event.
function go(event, text) { return make("button", { type: "button", onclick: () => showEvent(event) }, text); }

function title(event) {
  const e = EVENTS[event];
  if (isApply(e)) return e.n;
  if (isPull(e)) return `vjp of ${EVENTS[e.a].n}`;
  if (isWalk(e)) return e.g ? "grad, to be differentiated again" : "grad";
  return `${e.n}.step`;
}

function phase(event) {
  const e = EVENTS[event];
  if (isApply(e)) return isSecond(e) ? "second" : "forward";
  return e.k === "update" ? "update" : "backward";
}
const PHASES = { forward: "forward", backward: "backward", second: "second order", update: "optimiser" };
