// Where did it go wrong: the first bad number each way, gradient norms by depth, and memory.

function healthView(stage) {
  stage.className = "";
  const [forward, backward, along] = TAPE.health;
  const line = (name, t, fine) => make("p", {}, make("b", {}, name + ": "), t ? [make("span.bad", {}, t.text + " "), go(t.event, `go to step ${stepName(t.event)}`)] : make("span.good", {}, fine));
  const box = make("div.inner", {},
    TAPE.error ? make("p.notice.bad", {}, `The program ended with ${TAPE.error.text} `, TAPE.error.event === null ? "" : go(TAPE.error.event, "go there")) : null,
    make("h2", {}, "Where did it go wrong?"),
    line("Forward", forward, "every value is finite"),
    line("Backward, each vjp", backward, "no vjp made NaN or inf, or let its gradient vanish (below 1e-7 of what arrived) or explode"),
    line("Backward, along the way", along, "no gradient fell below 1e-7 of the largest of its pass"),
    make("h2", {}, "Norm of the gradient, by depth"), normPlot(),
    make("h2", {}, "Memory of the arrays that were seen"), memoryPlot());
  stage.replaceChildren(box);
}

// A plot of points (x, y, event); y is drawn as it is. A click goes to the nearest point.
function plot(points, label, marks, wideness = 720, height = 200) {
  const stage = document.getElementById("stage"), width = Math.max(Math.min(stage.clientWidth - 30, wideness), 260);
  const canvas = make("canvas", { width: width * 2, height: height * 2, style: `width:${width}px;height:${height}px;cursor:pointer`, role: "img", "aria-label": label });
  const g = canvas.getContext("2d"), left = 62, low = Math.min(...points.map(p => p.y)), high = Math.max(...points.map(p => p.y));
  const last = Math.max(EVENTS.length - 1, 1), X = x => left + x / last * (width - left - 8), Y = y => height - 18 - (high > low ? (y - low) / (high - low) : 0.5) * (height - 34);
  g.scale(2, 2);
  g.font = "11px system-ui, sans-serif";
  g.fillStyle = colour("--faint");
  g.strokeStyle = colour("--line");
  g.textAlign = "right";
  g.textBaseline = "middle";
  for (let k = 0; k <= 4; k++) {
    const y = low + (high - low) * k / 4;
    g.fillText(marks(y), left - 5, Y(y));
    g.beginPath(); g.moveTo(left, Y(y)); g.lineTo(width - 8, Y(y)); g.stroke();
    if (high === low) break;
  }
  g.textAlign = "center";
  g.fillText("events of the tape, in time →", width / 2, height - 6);
  canvas.addEventListener("click", c => {
    const x = (c.offsetX - left) / (width - left - 8) * last;
    const near = points.reduce((a, b) => Math.abs(b.x - x) < Math.abs(a.x - x) ? b : a);
    showEvent(near.x);
  });
  return { canvas, g, X, Y, low, high };
}

function normPlot() {
  const points = [];
  EVENTS.forEach((e, i) => { if (isPull(e)) e.gx.forEach(v => { if (v !== null && VALUES[v].f[7] !== null) points.push({ x: i, y: Math.log10(Math.max(VALUES[v].f[7], 1e-45)), zero: VALUES[v].f[7] === 0 }); }); });
  if (!points.length) return make("p.faint", {}, "no gradient was computed");
  const { canvas, g, X, Y } = plot(points, `Norms of gradients from 1e${Math.min(...points.map(p => p.y)).toFixed(1)} to 1e${Math.max(...points.map(p => p.y)).toFixed(1)}`, y => `1e${y.toFixed(1)}`);
  g.fillStyle = colour("--backward");
  const r = points.length > 2000 ? 1 : 3;
  for (const p of points) { g.beginPath(); g.arc(X(p.x), Y(p.y), r, 0, 7); g.fill(); }
  return make("figure", {}, canvas, make("figcaption", {}, "Each point is one gradient that a vjp returned, on a logarithmic scale; click one to go there. Depth grows to the right within a pass."));
}

function memoryPlot() {
  const live = TAPE.live, points = live.map((y, x) => ({ x, y })), peak = live.indexOf(Math.max(...live));
  if (!EVENTS.length) return make("p.faint", {}, "nothing was recorded");
  const { canvas, g, X, Y } = plot(points, `Memory up to ${bytes(live[peak])}, at step ${stepName(peak)}`, y => bytes(Math.round(y)));
  g.strokeStyle = colour("--forward");
  g.lineWidth = 1.5;
  g.beginPath();
  points.forEach((p, i) => { if (i) g.lineTo(X(p.x), Y(p.y)); else g.moveTo(X(p.x), Y(p.y)); });
  g.stroke();
  g.fillStyle = colour("--bad");
  g.beginPath(); g.arc(X(peak), Y(live[peak]), 4, 0, 7); g.fill();
  g.textAlign = X(peak) > 400 ? "right" : "left";
  g.fillText(`peak: ${bytes(live[peak])}`, X(peak) + (X(peak) > 400 ? -8 : 8), Y(live[peak]) + 12);
  const by = EVENTS.map((e, i) => [i, e]).filter(([, e]) => isApply(e) && e.g).map(([i, e]) => [i, e.b.reduce((s, v) => s + TAPE.memories[VALUES[v].y][0], 0)]).sort((a, b) => b[1] - a[1]).slice(0, 8);
  return make("figure", {}, canvas, make("figcaption", {}, "Memory inside of kernels is not seen."), make("p", {}, go(peak, `go to the peak, step ${stepName(peak)}`)),
    make("h3", {}, "What is kept for backward, largest first"), make("table", {}, make("tbody", {}, by.map(([i, n]) => make("tr", {}, make("td", {}, go(i, title(i))), make("td.faint", {}, EVENTS[i].m || ""), make("td", {}, bytes(n)))))));
}
