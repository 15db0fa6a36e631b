// The graph on a canvas: drawn where it is looked at only, so 10,000 nodes cost what a screen of them does.

const view = { scale: 1, x: 0, y: 0, graph: null, canvas: null, focus: null };

function graphView(stage) {
  stage.className = "graph";
  const canvas = make("canvas", { id: "graph", tabindex: "0", role: "img", "aria-label": "The graph. Arrow keys step along the tape; Enter opens or closes the network at the step; plus and minus zoom." });
  const tools = make("div", { id: "tools" },
    make("button", { type: "button", "aria-label": "Zoom in", onclick: () => zoom(1.3) }, "+"),
    make("button", { type: "button", "aria-label": "Zoom out", onclick: () => zoom(1 / 1.3) }, "−"),
    make("button", { type: "button", onclick: fit }, "fit"),
    make("button", { type: "button", onclick: () => openAll(true) }, "open all"),
    make("button", { type: "button", onclick: () => openAll(false) }, "close all"));
  const legend = make("div", { id: "legend" },
    make("span.forward", {}, "▮ forward"), make("span.backward", {}, "▮ backward"), make("span.second", {}, "▮ second order"),
    make("span", {}, "line width: bytes"), make("span", {}, "%: share of the gradient"),
    make("span", {}, make("b.good", {}, "✓"), " ", make("b.bad", {}, "✗"), " ", make("b.unsure", {}, "?"), " vjp checked, ○ not computed"),
    make("span.bad", {}, "‖ detached"));
  stage.replaceChildren(canvas, tools, legend);
  view.canvas = canvas;
  view.graph = layout();
  pointers(canvas);
  if (typeof ResizeObserver !== "undefined") new ResizeObserver(() => { if (canvas.isConnected) resized(); }).observe(stage);
  resized();
  if (!view.placed) { home(); view.placed = true; }
  drawGraph();
}

function resized() {
  const box = view.canvas.getBoundingClientRect(), ratio = window.devicePixelRatio || 1;
  view.canvas.width = Math.max(Math.round(box.width * ratio), 1);
  view.canvas.height = Math.max(Math.round(box.height * ratio), 1);
  view.w = box.width;
  view.h = box.height;
  drawGraph();
}

// The beginning of the graph at a size that can be read, or all of it if it fits.
function home() {
  fit();
  if (view.scale < 0.55) { view.scale = view.w < 500 ? 0.62 : 0.8; view.x = 12; view.y = 24; drawGraph(); if (state.event !== STEPS[0]) follow(state.event); }
}

function fit() {
  const g = view.graph;
  view.scale = Math.min(view.w / (g.width + 20), (view.h - 40) / (g.height + 10), 1.2);
  view.x = (view.w - g.width * view.scale) / 2;
  view.y = 4;
  drawGraph();
}

function zoom(by, x = view.w / 2, y = view.h / 2) {
  const next = Math.min(Math.max(view.scale * by, 0.004), 3), real = next / view.scale;
  view.x = x - (x - view.x) * real;
  view.y = y - (y - view.y) * real;
  view.scale = next;
  drawGraph();
}

function openAll(open) {
  TAPE.calls.forEach((_, i) => { if (open) OPEN.add(i); else OPEN.delete(i); });
  relayout();
  fit();
}

function relayout() { view.graph = layout(); drawGraph(); }

function toggle(node) {
  if (node.call !== null && node.call !== undefined) { OPEN.add(node.call); relayout(); follow(node.events[0], true); return true; }
  const around = node.events && node.events.length ? EVENTS[node.events[0]].z : undefined;
  if (around !== undefined && around !== null && node.leaf === undefined) {
    OPEN.delete(around);
    const event = node.events[0];
    relayout();
    follow(event, true);
    return true;
  }
  return false;
}

function pointers(canvas) {
  const down = new Map();
  let moved = 0, spread = 0;
  canvas.addEventListener("pointerdown", p => {
    canvas.setPointerCapture(p.pointerId);
    down.set(p.pointerId, [p.offsetX, p.offsetY]);
    moved = 0;
  });
  canvas.addEventListener("pointermove", p => {
    if (!down.has(p.pointerId)) { canvas.style.cursor = hit(p.offsetX, p.offsetY) ? "pointer" : "grab"; return; }
    const before = down.get(p.pointerId);
    down.set(p.pointerId, [p.offsetX, p.offsetY]);
    if (down.size === 2) {
      const [a, b] = [...down.values()], now = Math.hypot(a[0] - b[0], a[1] - b[1]);
      if (spread) zoom(now / spread, (a[0] + b[0]) / 2, (a[1] + b[1]) / 2);
      spread = now;
      moved = 99;
      return;
    }
    moved += Math.abs(p.offsetX - before[0]) + Math.abs(p.offsetY - before[1]);
    view.x += p.offsetX - before[0];
    view.y += p.offsetY - before[1];
    drawGraph();
  });
  const up = p => {
    const last = down.get(p.pointerId);
    down.delete(p.pointerId);
    spread = 0;
    if (p.type === "pointerup" && moved < 5 && last) clicked(hit(...last));
  };
  canvas.addEventListener("pointerup", up);
  canvas.addEventListener("pointercancel", up);
  canvas.addEventListener("wheel", w => { w.preventDefault(); zoom(Math.exp(-w.deltaY / 400), w.offsetX, w.offsetY); }, { passive: false });
}

function hit(px, py) {
  const x = (px - view.x) / view.scale, y = (py - view.y) / view.scale, rank = Math.round(y / BOX.dy - 1);
  return (view.graph.rows[rank] || []).find(n => Math.abs(n.x - x) < BOX.w / 2 && Math.abs(n.y - y) < BOX.h / 2);
}

function clicked(node) {
  if (!node) return;
  if (node.leaf !== undefined) { showLeaf(node.leaf); return; }
  if (node.call !== null && toggle(node)) { showEvent(node.events[0]); return; }
  showEvent(node.events[0]);
}

// Move the graph so that an event's node is in sight.
function follow(event, always = false) {
  if (!view.canvas || !view.canvas.isConnected) return;
  const n = nodeOf(event);
  if (!n) return;
  const x = n.x * view.scale + view.x, y = n.y * view.scale + view.y, dx = BOX.w / 2 * view.scale, dy = BOX.h * view.scale;
  if (always || x - dx < 0 || x + dx > view.w || y - dy < 0 || y + dy > view.h - 30) {
    view.x = view.w / 2 - n.x * view.scale;
    view.y = view.h / 2 - n.y * view.scale;
  }
  drawGraph();
}

function nodeOf(event) {
  const e = EVENTS[event];
  if (isApply(e)) return view.graph.at.get(standsFor(isInner(e) ? EVENTS[e.p].a ?? event : event));
  if (isPull(e)) return view.graph.at.get(standsFor(e.a));
  if (isWalk(e) && e.a.length) return view.graph.at.get(standsFor(e.a[0]));
  return null;
}

function drawGraph() {
  if (!view.canvas || view.queued) return;
  view.queued = true;
  requestAnimationFrame(() => { view.queued = false; if (view.canvas.isConnected) paint(); });
}

function paint() {
  const began = performance.now(), { graph, canvas, scale } = view, ratio = canvas.width / Math.max(view.w, 1), g = canvas.getContext("2d");
  const ink = colour("--ink"), faint = colour("--faint"), line = colour("--line"), ground = colour("--ground");
  const hue = { forward: colour("--forward"), backward: colour("--backward"), second: colour("--second") };
  const badge = { PASS: ["✓", colour("--good")], FAIL: ["✗", colour("--bad")], INCONCLUSIVE: ["?", colour("--unsure")] };
  const lit = colour("--lit"), wall = colour("--bad"), raised = colour("--raised");
  g.setTransform(ratio, 0, 0, ratio, 0, 0);
  g.fillStyle = ground;
  g.fillRect(0, 0, view.w, view.h);
  g.translate(view.x, view.y);
  g.scale(scale, scale);
  const top = Math.max(Math.floor((-view.y / scale - BOX.h) / BOX.dy) - 1, 0);
  const bottom = Math.min(Math.ceil(((view.h - view.y) / scale + BOX.h) / BOX.dy), graph.rows.length - 1);
  const now = state.event, words = scale > 0.4;
  const named = graph.bands.filter(b => b.name);
  g.textBaseline = "middle";
  if (named.length > 1 || (named.length && graph.bands.length > 1)) for (const b of graph.bands) {
    g.strokeStyle = line;
    g.lineWidth = 1 / scale;
    g.setLineDash([6 / scale, 6 / scale]);
    g.strokeRect(b.left, -BOX.dy * 0.1, b.right - b.left, graph.height + BOX.dy * 0.2);
    g.setLineDash([]);
    g.fillStyle = ink;
    g.textAlign = "left";
    const px = Math.min(15 / scale, 90);
    g.font = `600 ${px}px system-ui, sans-serif`;
    g.fillText(b.name || "between", b.left + 8 / scale, Math.max((-view.y + 12) / scale, 0), b.right - b.left - 8 / scale);
  }
  // Edges first, so that boxes lie on them.
  const edges = graph.long.slice();
  for (let r = top; r <= Math.min(bottom + 40, graph.short.length - 1); r++) if (graph.short[r]) edges.push(...graph.short[r]);
  g.textAlign = "center";
  for (const e of edges) {
    const x0 = e.a.x, y0 = e.a.y + BOX.h / 2, x1 = e.b.x + entry(e), y1 = e.b.y - BOX.h / 2, v = VALUES[e.value];
    const active = now !== null && lights(e, now);
    g.strokeStyle = active || (e.wall ? wall : faint);
    g.globalAlpha = active ? 1 : 0.55;
    g.lineWidth = (active ? 2 : 0) + 0.7 + Math.max(Math.log10(Math.max(size(v.sh) * 4, 1)) - 1, 0) * 0.65;
    if (!words) g.lineWidth = Math.max(g.lineWidth, 0.6 / scale);
    g.setLineDash(e.wall ? [7, 5] : e.flows ? [] : [2, 4]);
    g.beginPath();
    g.moveTo(x0, y0);
    const bend = Math.max(Math.min(Math.abs(y1 - y0) / 2, 90), 20);
    g.bezierCurveTo(x0, y0 + bend, x1, y1 - bend, x1, y1);
    g.stroke();
    g.setLineDash([]);
    g.globalAlpha = 1;
    if (!words) continue;
    const mx = (x0 + x1) / 2, my = (y0 + y1) / 2;
    if (e.wall) { g.fillStyle = wall; g.fillRect(mx - 22, my - 3, 44, 2.5); g.fillRect(mx - 22, my + 2, 44, 2.5); }
    if (scale > 0.55 && e.a.leaf === undefined && !e.b.into.some(o => o.a === e.a && o.slot < e.slot)) {
      g.font = "11px system-ui, sans-serif";
      const text = e.wall ? "detached" : shape(v.sh);
      const width = g.measureText(text).width + 6, lx = x0 * 0.8 + x1 * 0.2, ly = y0 * 0.8 + y1 * 0.2 + 3;
      g.fillStyle = ground;
      g.fillRect(lx - width / 2, ly - 6.5, width, 13);
      g.fillStyle = e.wall ? wall : faint;
      g.fillText(text, lx, ly);
    }
    const pull = e.flows && asked(e.event, e.input);
    if (pull !== null && pull !== false) {
      const verdict = VERDICTS.get(`${pull}:${e.input}`), [sign, tone] = verdict ? badge[verdict.v] : ["", faint];
      g.beginPath();
      g.arc(x1, y1 - 8, 6, 0, 7);
      g.fillStyle = ground;
      g.fill();
      g.strokeStyle = tone;
      g.lineWidth = 1.3;
      g.stroke();
      g.fillStyle = tone;
      g.font = "bold 10px system-ui, sans-serif";
      g.fillText(sign, x1, y1 - 7.5);
      const share = now !== null && pull <= now ? shareOf(e, pull) : null;
      if (share !== null) {
        g.font = "bold 11px system-ui, sans-serif";
        g.fillStyle = hue.backward;
        g.fillText(percent(share), x1 + (entry(e) < 0 ? -26 : 26), y1 - 8);
      }
    }
  }
  for (let r = top; r <= bottom; r++) for (const n of graph.rows[r] || []) {
    const x = n.x - BOX.w / 2, y = n.y - BOX.h / 2;
    if ((n.x + BOX.w) * scale + view.x < 0 || x * scale + view.x > view.w) continue;
    const status = nodeState(n, now), leaf = n.leaf !== undefined;
    const tone = leaf ? faint : n.second ? hue.second : hue.forward;
    g.globalAlpha = status.done || now === null ? 1 : 0.45;
    g.fillStyle = status.lit ? lit : leaf ? ground : raised;
    g.beginPath();
    g.roundRect(x, y, BOX.w, BOX.h, leaf ? BOX.h / 2 : 6);
    g.fill();
    g.lineWidth = Math.max(status.lit ? 3 : 1.3, 0.8 / scale);
    g.strokeStyle = status.lit ? (status.backward ? hue.backward : tone) : tone;
    g.stroke();
    if (n.call !== null && n.call !== undefined) { // more than one thing in it
      g.lineWidth = Math.max(1, 0.8 / scale);
      g.strokeRect(x + 4, y + BOX.h, BOX.w - 8, 3);
    }
    if (status.gradient) { g.fillStyle = hue.backward; g.fillRect(x + BOX.w - 6, y + 7, 3, BOX.h - 14); }
    g.textAlign = "center";
    if (status.trouble) { g.fillStyle = wall; g.font = `bold ${Math.max(14, 11 / scale)}px system-ui`; g.fillText(status.trouble, n.x + BOX.w / 4, y - 9); }
    if (state.compared) {
      const c = state.compared(n);
      if (c) { g.fillStyle = colour(c.tone); g.fillRect(x, y, Math.max(7, 5 / scale), BOX.h); }
    }
    if (words) {
      const [first, second] = labels(n);
      g.fillStyle = ink;
      g.font = "600 13px system-ui, sans-serif";
      g.fillText(first, n.x, second ? n.y - 8 : n.y, BOX.w - 16);
      g.fillStyle = faint;
      g.font = "11px system-ui, sans-serif";
      if (second) g.fillText(second, n.x, n.y + 10, BOX.w - 16);
    }
    g.globalAlpha = 1;
  }
  view.paintMs = performance.now() - began;
}

function labels(n) {
  if (n.leaf !== undefined) return [leafName(n.leaf), shape(VALUES[LEAVES[n.leaf].v].sh)];
  const e = EVENTS[n.events[0]];
  if (n.call !== null && n.call !== undefined) {
    const [name, kind] = TAPE.calls[n.call];
    const what = n.events.length > 1 ? `${kind}: ${plural(n.events.length, "operator")}` : `${kind}: ${e.n}`;
    return [name + (n.second ? " ″" : ""), what];
  }
  return [e.n + (n.second ? " ″" : ""), e.m || (e.o.length ? shape(VALUES[e.o[0]].sh) : "")];
}

// What a node looks like at a step.
function nodeState(n, now) {
  const first = n.leaf !== undefined ? LEAVES[n.leaf].e : n.events[0];
  const s = { lit: false, done: now === null || first <= now, backward: false, gradient: false, trouble: "" };
  if (n.leaf !== undefined) {
    s.gradient = now !== null && (ARRIVALS.get(n.leaf) || []).some(a => a.walk < now && now > lastOf(a.walk));
    s.lit = now !== null && EVENTS[now].k === "update" && EVENTS[now].d.some(d => d[0] === n.leaf);
    return s;
  }
  for (const event of n.events) {
    if (event === now) s.lit = true;
    for (const p of PULLS.get(event) || []) {
      if (p === now) { s.lit = true; s.backward = true; }
      if (now !== null && p <= now) s.gradient = true;
    }
    for (const t of TAPE.health) if (t && (t.event === event || EVENTS[t.event].a === event)) s.trouble = t.what;
    if (TAPE.error && TAPE.error.event === event) s.trouble = "error";
  }
  return s;
}

// Edges enter a node beside each other, in the order of its inputs.
function entry(edge) {
  const k = edge.b.into.length;
  if (edge.slot === undefined) edge.b.into.forEach((e, i) => { e.slot = i; });
  return (edge.slot - (k - 1) / 2) * Math.min(34, (BOX.w - 30) / k);
}

const LAST = new Map();
function lastOf(walk) { // the last event inside a reverse pass
  if (!LAST.has(walk)) {
    let last = walk;
    for (let i = walk + 1; i < EVENTS.length && EVENTS[i].p !== undefined; i++) last = i;
    LAST.set(walk, last);
  }
  return LAST.get(walk);
}

// Whether an edge is what the step computes along; the colour if so.
function lights(edge, now) {
  const e = EVENTS[now];
  if (isApply(e) && edge.event === now) return colour(isSecond(e) ? "--second" : "--forward");
  if (isPull(e) && edge.event === e.a && edge.flows && e.gx[edge.input] !== null && e.gx[edge.input] !== undefined) return colour("--backward");
  return null;
}

// The newest vjp that was asked for the gradient along an edge.
function asked(event, input) {
  const pulls = (PULLS.get(event) || []).filter(p => EVENTS[p].gx[input] !== null && EVENTS[p].gx[input] !== undefined);
  return pulls.length ? pulls[pulls.length - 1] : null;
}

// The share that an edge carried of the gradient of what it leads back to, where that is used more than once.
function shareOf(edge, pull) {
  const gx = EVENTS[pull].gx[edge.input], x = EVENTS[edge.event].i[edge.input];
  let flows = [];
  if (x.m !== undefined) for (const p of PULLS.get(x.m) || []) if (p > pull) { flows = EVENTS[p].w[x.o || 0] || []; break; }
  if (x.l !== undefined) for (const a of ARRIVALS.get(x.l) || []) if (a.walk < pull && pull <= lastOf(a.walk)) flows = a.flows;
  if (flows.length < 2) return null;
  const mine = flows.find(f => f[1] === edge.event && f[2] === edge.input && f[0] === gx) || flows.find(f => f[1] === edge.event && f[2] === edge.input);
  return mine ? mine[3] : null;
}
