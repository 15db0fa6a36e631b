// The parts of a program side by side: for a GAN its tapes, the wall between them, and what each loss may move.

function gameView(stage) {
  stage.className = "";
  const columns = [...PARTS, ...(PART.some((p, i) => !p && isApply(EVENTS[i]) && !isInner(EVENTS[i])) ? [""] : [])].map(partColumn);
  const walks = EVENTS.map((e, i) => [i, e]).filter(([, e]) => isWalk(e) && e.p === undefined);
  stage.replaceChildren(make("div.inner", {},
    make("h2", {}, "What each loss may move"),
    walks.length ? make("div.columns", {}, walks.map(([i]) => lossCard(i))) : make("p.faint", {}, "no gradient was asked for"),
    make("h2", {}, "The parts, side by side"),
    PARTS.length ? null : make("p.faint", {}, "This program names no parts; with tape.part(name): ... does."),
    make("div.columns", {}, columns)));
}

function partColumn(name) {
  const items = [];
  EVENTS.forEach((e, i) => {
    if (!isApply(e) || isInner(e) || PART[i] !== name) return;
    for (const x of e.i) if (x.m !== undefined && !x.f && EVENTS[x.m].g)
      items.push(make("li", {}, make("div.wall", {}, `wall: detached from ${EVENTS[x.m].n}${PART[x.m] ? ` (${PART[x.m]})` : ""}; no gradient passes`)));
    const pull = (PULLS.get(i) || []).slice(-1)[0], g = pull === undefined ? null : EVENTS[pull].gy[0];
    items.push(make("li", {}, make("button", { type: "button", onclick: () => showEvent(i) },
      make(`b.${phase(i)}`, {}, e.n), ` ${e.m || ""} `, isSecond(e) ? make("span.tag.second", {}, "second order") : "",
      make("span.faint", {}, g === null ? " no gradient" : ` |gradient| ${brief(VALUES[g].f[7])}`))));
  });
  return make("div.card", { "data-part": name }, make("h3", {}, name || "outside of every part"), make("ol", {}, items));
}

function lossCard(walk) {
  const e = EVENTS[walk], root = e.a[0], terms = TAPE.terms[String(walk)] || [], most = Math.max(...terms.map(t => typeof t.n === "number" ? t.n : 0), 1e-300);
  const squares = e.l.map(a => VALUES[a.v].f[7]), whole = squares.every(x => x !== null) ? Math.hypot(...squares) : null;
  const second = EVENTS.some((x, i) => i < walk && isSecond(x) && PULLS.has(i) && PULLS.get(i).some(p => EVENTS[p].p === walk));
  const names = e.l.map(a => leafName(a.l)), shown = names.slice(0, 14);
  return make("div.card", { "data-loss": walk }, make("h3", {}, root === undefined ? title(walk) : go(root, `loss: ${title(root)}`), root !== undefined && EVENTS[root].o.length ? ` = ${number(decoded(VALUES[EVENTS[root].o[0]].a, VALUES[EVENTS[root].o[0]].d)[0])}` : ""),
    make("p", {}, `|gradient| by ${plural(e.l.length, "leaf").replace("leafs", "leaves")}: `, make("b", {}, number(whole)), " ", go(walk, "the pass")),
    second ? make("p.second", {}, "It differentiates a gradient: part of it is second order.") : null,
    terms.length ? make("div.scroll", {}, make("table", {}, make("tbody", {}, make("tr", {}, ["term", "value", "|its gradient|"].map(t => make("th", { scope: "col" }, t))),
      terms.map(t => make("tr", {}, make("td", {}, go(t.a, title(t.a)), PART[t.a] ? ` ${PART[t.a]}` : ""), make("td", {}, number(t.v)), make("td", {}, number(t.n), " ", make("span.bar.backward", { style: `width:${typeof t.n === "number" ? t.n / most * 60 : 0}px` }))))))) : null,
    make("p", {}, "It may move: ", make("span.mono", {}, shown.join(", ") + (names.length > shown.length ? `, and ${names.length - shown.length} more` : ""))));
}
