// One element of a gradient: everything that it was added up from.
//
//   gx[i] = sum over j of gy[j] * dy[j]/dx[i]
//
// The partial derivatives were computed by the Function's own vjp; nothing is differentiated here.

function elementView(pull, input, row) {
  const forward = EVENTS[EVENTS[pull].a], name = inputName(forward.i[input]);
  const box = make("div.card.element", { "aria-live": "polite" },
    make("h3", {}, `Where gradient of ${name}[${row.e.join(", ")}] = ${number(row.gx)} came from`),
    make("p", {}, "g", make("sub", {}, name), `[${row.e.join(", ")}] = Σ gy[j] · ∂y[j]/∂${name}[${row.e.join(", ")}], over `,
      `${plural(row.n, "element")} of y that depend on it`));
  if (row.plane) box.append(...windowOf(row, forward, input));
  else if (row.j) box.append(listOf(row));
  const shown = dot(row);
  box.append(make("p.mono.sum", {},
    row.rest[0] ? `shown: ${number(shown)}   ${count(row.rest[0])} others: ${number(row.rest[1])}   ` : "",
    `together: ${number(row.t)}   recorded: ${number(row.gx)}`));
  return box;
}

function dot(row) {
  const p = decoded(row.p, row.d), g = decoded(row.g, row.d);
  let sum = 0;
  for (let i = 0; i < p.length; i++) sum += p[i] * g[i];
  return sum;
}

function unravelled(flat, shape) {
  const index = [];
  for (let k = shape.length - 1; k >= 0; k--) { index.unshift(flat % shape[k]); flat = Math.floor(flat / shape[k]); }
  return index;
}

function listOf(row) {
  const p = decoded(row.p, row.d), g = decoded(row.g, row.d);
  return make("div.scroll", {}, make("table.cells", {}, make("tbody", {},
    make("tr", {}, ["j", "gy[j]", "∂y[j]/∂x", "product"].map(t => make("th", { scope: "col" }, t))),
    row.j.map((j, k) => make("tr", {},
      make("td", {}, `[${unravelled(j, row.size).join(", ")}]`), make("td", { style: shade(g[k], largest(g)) }, number(g[k])),
      make("td", { style: shade(p[k], largest(p)) }, number(p[k])), make("td", {}, number(p[k] * g[k])))))));
}

// A window of a plane of gy: gy in it, the partial derivatives as they lie on it, and their products.
function windowOf(row, forward, input) {
  const [top, left, height, width] = row.box, [image, channel] = row.plane, [, , rows, columns] = row.size;
  const p = decoded(row.p, row.d), g = decoded(row.g, row.d), products = p.map((x, i) => x * g[i]);
  const map = make("canvas", { width: columns * 8, height: rows * 8, style: `width:${Math.min(columns * 8, 224)}px`, role: "img",
    "aria-label": `The plane of gy, ${rows} by ${columns}, with the window at row ${top}, column ${left}, ${height} by ${width}` });
  const c = map.getContext("2d"), most = largest(p);
  c.fillStyle = colour("--raised");
  c.fillRect(0, 0, map.width, map.height);
  for (let i = 0; i < height; i++) for (let j = 0; j < width; j++) {
    const x = p[i * width + j];
    if (x === 0) continue;
    c.fillStyle = `rgba(${colour(x < 0 ? "--low" : "--high")}, ${0.25 + 0.75 * Math.min(Math.abs(x) / most, 1)})`;
    c.fillRect((left + j) * 8, (top + i) * 8, 8, 8);
  }
  c.strokeStyle = colour("--line");
  for (let i = 0; i <= rows; i++) { c.beginPath(); c.moveTo(0, i * 8); c.lineTo(map.width, i * 8); c.stroke(); }
  for (let j = 0; j <= columns; j++) { c.beginPath(); c.moveTo(j * 8, 0); c.lineTo(j * 8, map.height); c.stroke(); }
  c.strokeStyle = colour("--second");
  c.lineWidth = 3;
  c.strokeRect(left * 8, top * 8, width * 8, height * 8);
  const figure = (caption, content) => make("figure", {}, make("figcaption", {}, caption), content);
  const out = [make("div.beside", {}, figure(`gy[${image}, ${channel}], ${rows}×${columns}: the window`, map))];
  if (height * width <= 196) out.push(make("div.beside", {},
    figure("gy in the window", grid(g, height, width)),
    figure("· partial derivative", grid(p, height, width)),
    figure("= product", grid(products, height, width))));
  else out.push(make("p.faint", {}, `The window has ${count(height * width)} elements; they are drawn, not written.`));
  if (row.w) out.push(turned(row, p));
  if (input === 1 && forward.n === "Convolve") out.push(make("p", {}, "The partial derivatives are the pixels that this weight met, one in each window: its gradient adds up pixel times gy. For all weights together that is x convolved with gy."));
  return out;
}

// The filter as it is stored, turned by 180 degrees, and as it was found in the window.
function turned(row, p) {
  const [kh, kw] = row.wsh, w = decoded(row.w, row.d), back = w.slice().reverse(), [, , height, width] = row.box;
  const hue = k => `box-shadow: inset 0 0 0 2px hsl(${Math.round(k * 360 / w.length)} 65% 50%)`;
  const mark = (table, number) => table.querySelectorAll("td").forEach((td, k) => { td.style.cssText += `;${hue(number(k))}`; });
  const stored = grid(w, kh, kw), round = grid(back, kh, kw), most = largest(w);
  mark(stored, k => k);
  mark(round, k => w.length - 1 - k);
  const found = grid(p, height, width, { most });
  found.querySelectorAll("td").forEach((td, k) => {
    const at = w.findIndex(x => x === p[k] && p[k] !== 0);
    if (at >= 0) td.style.cssText += `;${hue(at)}`;
  });
  const same = kh === height && kw === width && back.every((x, i) => x === p[i]);
  const [o, c] = [row.plane[1], row.e[1]];
  const words = same
    ? "The partial derivatives in the window are the filter turned by 180°, number by number. The pixel was multiplied by the last weight in the first window that saw it, and by the first weight in the last: so the backward of a convolution is a convolution with the turned filter."
    : "The same numbers, in the opposite order: follow a colour. A stride leaves only every second weight in the window, and a border cuts it; with an activation in the same pass, its slope multiplies them.";
  return make("div.turned", {}, make("div.beside", {},
    make("figure", {}, make("figcaption", {}, `w[${o}, ${c}] as it is stored`), stored),
    make("figure", {}, make("figcaption", {}, "turned by 180°"), round),
    make("figure", {}, make("figcaption", {}, "partial derivatives, as they lie on gy"), found)),
    make("p", { "data-turned": same ? "equal" : "cut" }, words));
}
