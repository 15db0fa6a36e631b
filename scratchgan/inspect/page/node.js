// The step in detail: what was applied, where, what it made and passed back, the rule, and whether it is right.

function eventPanel(event) {
  const e = EVENTS[event];
  if (e.k === "update") return updatePanel(event);
  if (isWalk(e)) return walkPanel(event);
  const apply = isPull(e) ? e.a : event, f = EVENTS[apply], pulls = PULLS.get(apply) || [];
  const pull = isPull(e) ? event : pulls[pulls.length - 1];
  return [
    heading(event),
    failure(event),
    source(e.s || f.s),
    isPull(e) ? gradientOf(apply, event, true) : null,
    values(apply, !isPull(e)),
    !isPull(e) && pull !== undefined ? gradientOf(apply, pull, false) : null,
    pull !== undefined ? passedBack(pull, isPull(e)) : null,
    ruleOf(f),
    costs(apply, pulls),
    savedBy(f),
    pull !== undefined ? insideOf(pull) : null,
    ownExercises(apply, pull),
  ].filter(Boolean);
}

function heading(event) {
  const e = EVENTS[event], f = isPull(e) ? EVENTS[e.a] : e, kind = phase(event);
  return make("div", {}, make("h2", { id: "node-title" }, title(event), f.h ? make("span.faint", {}, ` (${f.h})`) : null),
    make(`span.tag.${kind}`, {}, PHASES[kind]), f.m ? make("span.tag.faint", {}, f.m) : null,
    PART[event] ? make("span.tag.faint", {}, PART[event]) : null,
    f.e ? make("span.tag.unsure", {}, "made before the recording") : null,
    isPull(e) ? make("p", {}, "Its forward: ", go(e.a, f.n)) : (PULLS.get(event) || []).map(p => make("p", {}, "Its vjp: ", go(p, "step " + (STEP_OF.get(p) + 1)))));
}

function failure(event) {
  const e = EVENTS[event], box = make("div");
  if (TAPE.error && TAPE.error.event === event) box.append(make("p.notice.bad", {}, `The program ended here: ${TAPE.error.text}`),
    ...TAPE.error.notes.map(n => make("p.notice.bad", {}, n)));
  for (const t of TAPE.health) if (t && t.event === event) box.append(make("p.notice.bad", {}, t.text));
  if (isApply(e)) for (const x of e.i) if (x.m !== undefined && !x.f && EVENTS[x.m].g)
    box.append(make("div.wall", {}, `detached: no gradient passes from here back to ${EVENTS[x.m].n}`));
  return box.children.length ? box : null;
}

function source(s) {
  if (!s) return null;
  const [file, line, inside] = s, lines = TAPE.files[file] || {}, keys = Object.keys(lines).map(Number).filter(n => Math.abs(n - line) <= 4).sort((a, b) => a - b);
  const short = file.split(/[\\/]/).slice(-2).join("/");
  const code = keys.map(n => make(n === line ? "span.here" : "span", {}, make("span.n", {}, String(n).padStart(4) + "  "), lines[n], n === line ? "" : "\n"));
  return section("The line", true, make("p.faint", { title: file }, `${short}:${line}, in ${inside}`),
    keys.length ? make("pre", {}, code) : make("p.faint", {}, "the file could not be read"));
}

function values(apply, open) {
  const f = EVENTS[apply];
  if (!f.o.length) return make("p.faint", {}, f.e ? "Its value was made before the recording began." : "It made no value.");
  return section(f.o.length > 1 ? "Values" : "Value", open, f.o.map(y => value(VALUES[y])),
    lazily("Inputs", () => f.i.map(x => make("div", {}, make("h3", {}, inputName(x), x.l === undefined ? "" : LEAVES[x.l].p ? " (parameter)" : " (constant)"), value(VALUES[x.v])))));
}

// The gradient of the output: the parts that flowed in, and their sum.
function gradientOf(apply, pull, open) {
  const p = EVENTS[pull];
  return section("Gradient of its output", open, p.gy.map((g, i) => g === null ? make("p.faint", {}, "nothing flowed back to this output") :
    make("div", {}, flowTable(p.w[i], g), value(VALUES[g]))));
}

function flowTable(flows, whole) {
  if (!flows.length) return null;
  const rows = flows.map(([v, consumer, input, share]) => make("tr", {},
    make("td", {}, consumer === null ? "the seed (the loss by itself)" : go(consumer, `${title(consumer)}${EVENTS[consumer].m ? ", " + EVENTS[consumer].m : ""}`), consumer !== null && isSecond(EVENTS[consumer]) ? make("span.tag.second", {}, "second order") : ""),
    make("td", {}, number(VALUES[v].f[7])), make("td", {}, share === null ? "not computed" : [percent(share), " ", make("span.bar.backward", { style: `width:${Math.min(Math.abs(share), 1.5) * 80}px` })])));
  const total = flows.every(f => f[3] !== null) ? flows.reduce((sum, f) => sum + f[3], 0) : null;
  return make("div.scroll", {}, make("table.flows", {}, make("tbody", {},
    make("tr", {}, ["what used it", "norm", "share"].map(t => make("th", { scope: "col" }, t))), rows,
    flows.length > 1 ? make("tr", {}, make("th", { scope: "row" }, "together"), make("td", {}, number(VALUES[whole].f[7])), make("td", {}, percent(total))) : null)));
}

// What the vjp returned for each input, with the badge of the edge and, at a click, where an element came from.
function passedBack(pull, open) {
  const p = EVENTS[pull], f = EVENTS[p.a];
  return section("What it passed back", open, p.gx.map((g, i) => {
    const x = f.i[i] || {}, name = x.v === undefined ? `input ${i}` : inputName(x);
    if (g === null) return make("p.faint", {}, `${name}: no gradient was asked for`);
    const rows = new Map((TAPE.rows[`${pull}:${i}`] || []).map(r => [r.e.join(","), r]));
    const place = make("div", { "data-element-of": `${pull}:${i}` });
    return make("div", { "data-edge": `${pull}:${i}` }, make("h3", {}, `gradient of ${name} `, badgeOf(pull, i)),
      rows.size ? make("p.faint", {}, `Underlined numbers can be clicked: where did they come from? (${rows.size} here)`) : make("p.faint", {}, `No rows are here; tape.row(${pull}, ${i}, element) computes one.`),
      place, value(VALUES[g], rows, row => place.replaceChildren(elementView(pull, i, row))));
  }));
}

function badgeOf(pull, input) {
  const v = VERDICTS.get(`${pull}:${input}`);
  if (!v) {
    const why = TAPE.checks && TAPE.checks.skipped[pull];
    return make("span.tag.faint", { title: why || "tape.check() computes it", "data-verdict": "none" }, why ? `not computed: ${why}` : "not computed");
  }
  const tone = { PASS: "good", FAIL: "bad", INCONCLUSIVE: "unsure" }[v.v], word = { PASS: "✓ vjp checked", FAIL: "✗ wrong vjp", INCONCLUSIVE: "? undecided" }[v.v];
  const box = make("details", { style: "display:inline-block;vertical-align:top" }, make(`summary.tag.${tone}`, { "data-verdict": v.v }, word),
    make("pre", {}, v.x + (v.n ? `\n${v.n}` : "")));
  return box;
}

function ruleOf(f) {
  const rule = TAPE.rules[f.r];
  if (!rule) return null;
  const kernels = rule.kernels.map(k => make("details", {}, make("summary", {}, `${k.what} `, make("span.faint", {}, k.file)), make("pre", {}, k.text || "not found")));
  return make("details", { open: true, id: "rule" }, make("summary.section", {}, "The rule"),
    state.hidden ? make("p.unsure", {}, "Hidden while you solve it. ", make("button", { type: "button", onclick: () => { state.hidden = false; refresh(); } }, "show it")) : [
      rule.formula ? make("p.mono", {}, rule.formula) : make("p.faint", {}, "A Function of the program's own; its backward is its rule."),
      rule.vjps.map(v => make("p.mono.backward", {}, v)),
      lazily("As Python: the Function itself", () => make("pre", {}, rule.python || "its source could not be read")),
      kernels.length ? lazily("As kernels: NumPy, Numba, CUDA", () => kernels) : make("p.faint", {}, rule.formula ? "NumPy computes it; there is no kernel of its own." : ""),
    ]);
}

function costs(apply, pulls) {
  const row = (name, e) => make("tr", {}, make("th", { scope: "row" }, name), make("td", {}, duration(e.t), e.j ? " (with compiling)" : ""),
    make("td", {}, e.c[0] === null ? "no formula" : count(e.c[0])), make("td", {}, bytes(e.c[1])), make("td", {}, e.c[2] === null || e.j ? "–" : percent(e.c[2])));
  const e = EVENTS[apply];
  return section("What it cost", true, make("div.scroll", {}, make("table", {}, make("tbody", {},
    make("tr", {}, ["", "time", "FLOPs", "bytes moved", "of the roofline"].map(t => make("th", { scope: "col" }, t))),
    e.e ? null : row("forward", e), pulls.map(p => row("backward", EVENTS[p]))))),
    TAPE.ceilings ? make("p.faint", {}, `This machine, measured when the page was written: ${number(Number(TAPE.ceilings.gflops.toPrecision(3)))} GFLOP/s in a matrix product, ${number(Number(TAPE.ceilings.gbytes.toPrecision(3)))} GB/s in a copy. FLOPs are the definition's: an algorithm that needs fewer can be above 100 %.`) : null);
}

function savedBy(f) {
  if (!f.g) return null;
  const rows = f.b.map(v => {
    const value = VALUES[v], [n, born, died] = TAPE.memories[value.y];
    return make("tr", {}, make("td", {}, shape(value.sh)), make("td", {}, bytes(n)), make("td", {}, `from step ${stepName(born)} to ${died === null ? "the end" : `step ${stepName(died)}`}`));
  });
  return section("What backward needs", false, rows.length ? make("table", {}, make("tbody", {},
    make("tr", {}, ["array", "bytes of its memory", "lives"].map(t => make("th", { scope: "col" }, t))), rows)) : make("p.faint", {}, "Nothing: no array is kept for it."));
}

function stepName(event) { return String((STEP_OF.get(Math.max(event, 0)) ?? 0) + 1); }

function insideOf(pull) {
  const inside = INSIDE.get(pull) || [];
  if (!inside.length) return null;
  return lazily(`Operators that this vjp ran (${inside.length})`, () => inside.map(i => make("details", {},
    make("summary", {}, `${EVENTS[i].n} `, make("span.faint", {}, `${EVENTS[i].i.map(x => shape(VALUES[x.v].sh)).join(", ")} → ${EVENTS[i].o.map(y => shape(VALUES[y].sh)).join(", ")}, ${duration(EVENTS[i].t)}`)),
    source(EVENTS[i].s) || "")));
}
