// Two recordings: their nodes were matched when this page was written; here the differences are shown.

const TONES = { exact: ["good", "--good", "="], rounding: ["unsure", "--unsure", "≈"], wrong: ["bad", "--bad", "≠"], missing: ["faint", "--faint", "∅"] };

function compareView(stage) {
  stage.className = "";
  const c = TAPE.compare, counts = {};
  Object.values(c.events).forEach(x => { counts[x.v] = (counts[x.v] || 0) + 1; });
  const first = Object.entries(c.events).find(([, x]) => x.v === "wrong");
  const lines = Object.entries(c.events).filter(([, x]) => x.v !== "exact").slice(0, 400);
  stage.replaceChildren(make("div.inner", {}, make("h2", {}, `${TAPE.title} beside ${c.title}`),
    c.parted ? make("p.notice.bad", {}, c.parted) : make("p.good", {}, "Both did the same operators in the same order."),
    make("p", {}, Object.entries(TONES).filter(([k]) => counts[k]).map(([k, [tone, , sign]]) => make(`span.tag.${tone}`, { "data-count": k }, `${sign} ${k}: ${counts[k]}`))),
    c.about.map(line => make("p.faint", {}, line)),
    first ? make("p", {}, "The first that is wrong: ", go(Number(first[0]), title(Number(first[0])))) : null,
    make("div.scroll", {}, make("table.compared", {}, make("tbody", {}, make("tr", {}, ["step", "what", "", "difference"].map(t => make("th", { scope: "col" }, t))),
      lines.map(([event, x]) => make("tr", {}, make("td", {}, stepName(Number(event))), make("td", {}, go(Number(event), title(Number(event))), " ", make("span.faint", {}, EVENTS[event].m || "")),
        make(`td.${TONES[x.v][0]}`, {}, `${TONES[x.v][2]} ${x.v}`), make("td", {}, x.t)))))),
    make("p.faint", {}, c.rule)));
}

// For the graph: the worst of a node's events.
function comparedTone(n) {
  const order = ["wrong", "missing", "rounding", "exact"], found = (n.events || []).flatMap(e => [e, ...(PULLS.get(e) || [])]).map(e => TAPE.compare.events[e]).filter(Boolean).map(x => x.v);
  const worst = order.find(v => found.includes(v));
  return worst ? { tone: TONES[worst][1] } : null;
}
