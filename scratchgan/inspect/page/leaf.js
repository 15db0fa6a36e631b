// Leaves, reverse passes and optimiser steps.

function leafPanel(leaf) {
  const l = LEAVES[leaf];
  return [
    make("h2", { id: "node-title" }, leafName(leaf)),
    make("span.tag.faint", {}, l.p ? "leaf that requires a gradient" : "constant"),
    section("Value", true, value(VALUES[l.v])),
    ...(ARRIVALS.get(leaf) || []).map(a => section(`Gradient, of the pass at step ${stepName(a.walk)}`, true, flowTable(a.flows, a.value), value(VALUES[a.value]))),
    ...(CHANGES.get(leaf) || []).map(c => section("Changed by the optimiser", true, make("p", {}, go(c.event, title(c.event)), ` at step ${stepName(c.event)}`), changed(c))),
  ];
}

function changed(c) {
  const a = VALUES[c.before], b = VALUES[c.after];
  return make("div", {}, make("h3", {}, "before"), numbers(a), make("h3", {}, "after"), numbers(b));
}

function walkPanel(event) {
  const e = EVENTS[event], pulls = EVENTS.filter((x, i) => isPull(x) && x.p === event).length;
  return [
    make("h2", { id: "node-title" }, title(event)),
    make(`span.tag.backward`, {}, "backward"),
    failure(event),
    source(e.s),
    make("p", {}, `From ${e.a.length ? "" : "a leaf"}`, ...e.a.map(a => go(a, title(a))), ` back to ${plural(e.x, "Tensor")}: ${plural(pulls, "vjp")}, ${duration(e.t)}.`),
    e.g ? make("p.second", {}, "create_graph=True: the gradient is computed with operators that leave Nodes, so it can be differentiated again.") : null,
    section("Gradients that arrived at leaves", true, e.l.map(a => make("div", {}, make("h3", {}, make("button", { type: "button", onclick: () => showLeaf(a.l) }, leafName(a.l))), flowTable(a.w, a.v)))),
  ].filter(Boolean);
}

function updatePanel(event) {
  const e = EVENTS[event];
  const rows = e.d.map(([leaf, before, gradient, after]) => {
    const v = VALUES[before], g = gradient === null ? null : VALUES[gradient];
    return make("tr", {}, make("td", {}, make("button", { type: "button", onclick: () => showLeaf(leaf) }, leafName(leaf))), make("td", {}, shape(v.sh)),
      make("td", {}, number(v.f[7])), make("td", {}, g ? number(g.f[7]) : "–"), make("td", {}, number(VALUES[after].f[7])));
  });
  return [
    make("h2", { id: "node-title" }, title(event)), make("span.tag.update", {}, "optimiser"), failure(event), source(e.s), make("p", {}, `${duration(e.t)} for ${plural(e.d.length, "parameter")}`),
    make("div.scroll", {}, make("table", {}, make("tbody", {}, make("tr", {}, ["parameter", "shape", "norm before", "norm of gradient", "norm after"].map(t => make("th", { scope: "col" }, t))), rows))),
  ].filter(Boolean);
}
