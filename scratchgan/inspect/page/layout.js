// The graph's nodes and where they stand.
//
// Why no library: the layout is a few rules on a graph that is ordered already. An operator's rank is one more than the
// largest of what it was made from, so time runs down the page; parts of a program (the tapes of a GAN) stand side by
// side in bands; and within a rank nodes stand in the order of their parents' places. Layout libraries that minimise
// crossings take seconds at 10,000 nodes, and are larger than this page.

const BOX = { w: 168, h: 44, dx: 196, dy: 98 };
const OPEN = new Set(); // the numbers of the calls of networks that are shown in full

// A call that calls others is open from the start; one that only computes is one node until it is clicked.
TAPE.calls.forEach(([, , parent]) => { if (parent !== null) OPEN.add(parent); });

const CHAINS = TAPE.calls.map((_, i) => { // outermost first
  const chain = [];
  for (let c = i; c !== null; c = TAPE.calls[c][2]) chain.unshift(c);
  return chain;
});

// Which node stands for an Application: its own, or that of the outermost call around it that is closed.
function standsFor(event) {
  const e = EVENTS[event], second = isSecond(e) ? "s" : "";
  if (e.z !== undefined && e.z !== null)
    for (const c of CHAINS[e.z]) if (!OPEN.has(c)) return `c${c}${second}`;
  return `e${event}`;
}

// The nodes and edges that are visible now.
function visibleGraph() {
  const nodes = new Map(), edges = [];
  const node = (key, more) => {
    let n = nodes.get(key);
    if (!n) { n = { key, events: [], into: [], from: [], ...more }; nodes.set(key, n); }
    return n;
  };
  EVENTS.forEach((e, event) => {
    if (!isApply(e) || isInner(e)) return;
    const key = standsFor(event), call = key[0] === "c" ? Number.parseInt(key.slice(1), 10) : null;
    const n = node(key, { call, part: PART[event], second: isSecond(e), order: event });
    n.events.push(event);
    e.i.forEach((x, input) => {
      let from = null, leaf = null;
      if (x.m !== undefined) from = standsFor(x.m);
      else if (x.l !== undefined && call === null) {
        leaf = x.l;
        const around = e.z ?? "";
        from = `l${x.l}@${around}`;
        node(from, { leaf, part: PART[event], order: event - 0.5 });
      } else return;
      if (from === key) return;
      edges.push({ from, to: key, event, input, value: x.v, wall: x.m !== undefined && !x.f && Boolean(EVENTS[x.m].g), flows: Boolean(x.f) });
    });
  });
  for (const edge of edges) {
    edge.a = nodes.get(edge.from);
    edge.b = nodes.get(edge.to);
    if (!edge.a) continue;
    edge.a.from.push(edge);
    edge.b.into.push(edge);
  }
  return { nodes: [...nodes.values()].sort((a, b) => a.order - b.order), edges: edges.filter(x => x.a) };
}

function layout() {
  const { nodes, edges } = visibleGraph();
  for (const n of nodes) {
    n.rank = 0;
    for (const e of n.into) if (e.a.leaf === undefined && e.a.order < n.order) n.rank = Math.max(n.rank, e.a.rank + 1);
    // A result that many ranks later is used again would leave a gap below a leaf: a leaf stands by its first user.
  }
  for (const n of nodes) if (n.leaf !== undefined) n.rank = Math.max(Math.min(...n.from.map(e => e.b.rank)) - 1, 0);
  if (nodes.some(n => n.leaf !== undefined && n.from.some(e => e.b.rank === 0)))
    for (const n of nodes) if (n.leaf === undefined || n.from.every(e => e.b.rank > 0)) n.rank += 1;

  const names = [...new Set(nodes.map(n => n.part || ""))], bands = names.map(name => ({ name, rows: new Map(), width: 1 }));
  const bandOf = new Map(names.map((name, i) => [name, bands[i]]));
  for (const n of nodes) {
    n.band = bandOf.get(n.part || "");
    if (!n.band.rows.has(n.rank)) n.band.rows.set(n.rank, []);
    n.band.rows.get(n.rank).push(n);
  }
  let left = 0;
  for (const band of bands) {
    for (const row of band.rows.values()) band.width = Math.max(band.width, row.length);
    band.left = left;
    left += band.width * BOX.dx + BOX.dx * 0.35;
    const middle = band.left + band.width * BOX.dx / 2;
    for (const rank of [...band.rows.keys()].sort((a, b) => a - b)) {
      const row = band.rows.get(rank);
      for (const n of row) {
        const parents = n.into.filter(e => e.a.band === band && e.a.x !== undefined && e.a.rank < rank).map(e => e.a.x);
        n.want = parents.length ? parents.reduce((a, b) => a + b, 0) / parents.length : middle;
        if (n.leaf !== undefined) n.want += BOX.dx * 0.75; // beside the operator that feeds the same one
      }
      row.sort((a, b) => a.want - b.want || a.order - b.order);
      // From left to right no closer than a box, then the row is moved to where its nodes want to be on average.
      row.forEach((n, i) => { n.x = i ? Math.max(n.want, row[i - 1].x + BOX.dx) : n.want; });
      const shift = row.reduce((sum, n) => sum + n.want - n.x, 0) / row.length;
      row.forEach(n => { n.x += shift; });
    }
  }
  // The bands next to each other, by what they really take.
  left = 0;
  for (const band of bands) {
    const all = [...band.rows.values()].flat();
    const low = all.reduce((m, n) => Math.min(m, n.x), Infinity), high = all.reduce((m, n) => Math.max(m, n.x), -Infinity);
    all.forEach(n => { n.x += left - low + BOX.dx / 2; n.y = n.rank * BOX.dy + BOX.dy; });
    band.left = left;
    band.right = left + high - low + BOX.dx;
    left = band.right + BOX.dx * 0.3;
  }
  const rows = [];
  for (const n of nodes) (rows[n.rank] = rows[n.rank] || []).push(n);
  const short = [], long = [];
  for (const e of edges) (Math.abs(e.b.rank - e.a.rank) > 40 ? long : (short[e.b.rank] = short[e.b.rank] || [])).push(e);
  return { nodes, edges, rows, short, long, bands, width: Math.max(left, BOX.dx), height: rows.length * BOX.dy + BOX.dy, at: new Map(nodes.map(n => [n.key, n])) };
}
