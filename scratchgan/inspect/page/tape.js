// The scrubber: which step is shown, and what follows from that.

const state = { event: null, leaf: null, view: "graph", hidden: false, compared: null, timer: 0 };

function transport() {
  const scrub = document.getElementById("scrub");
  scrub.max = String(Math.max(STEPS.length - 1, 0));
  scrub.addEventListener("input", () => setStep(Number(scrub.value)));
  const on = (id, act) => document.getElementById(id).addEventListener("click", act);
  on("first", () => setStep(0));
  on("back", () => move(-1));
  on("forth", () => move(1));
  on("play", play);
  document.addEventListener("keydown", k => {
    const field = k.target.matches && k.target.matches("textarea, select, input:not([type=range])");
    if (field || k.ctrlKey || k.metaKey || k.altKey) return;
    if (k.key === " " && k.target.matches("button, summary, [role=button]")) return;
    const acts = { ArrowRight: () => move(1), ArrowLeft: () => move(-1), Home: () => setStep(0), End: () => setStep(STEPS.length - 1), " ": play, "+": () => zoom(1.3), "-": () => zoom(1 / 1.3), Escape: stop };
    if (k.key.startsWith("Arrow") && k.target.matches("[role=tab]")) return;
    if (k.key === "Enter" && k.target.id === "graph") { const n = state.event !== null && nodeOf(state.event); if (n) toggle(n); return; }
    if (k.key === "ArrowUp" || k.key === "ArrowDown") { if (k.target.id === "scrub") { k.preventDefault(); move(k.key === "ArrowDown" ? 1 : -1); } return; }
    if (acts[k.key] && STEPS.length) { k.preventDefault(); acts[k.key](); }
  });
}

function step() { return state.event === null ? 0 : STEP_OF.get(state.event) ?? 0; }

function move(by) { stop(); setStep(Math.min(Math.max(step() + by, 0), STEPS.length - 1)); }

function setStep(n) { if (STEPS.length) showEvent(STEPS[n]); }

function play() {
  if (state.timer) { stop(); return; }
  if (step() >= STEPS.length - 1) setStep(0);
  const button = document.getElementById("play");
  button.setAttribute("aria-pressed", "true");
  button.textContent = "⏸ pause";
  // A short tape is to be followed; a long one plays in a minute.
  const pause = Math.max(Math.min(900, 60000 / STEPS.length), 30);
  state.timer = setInterval(() => { if (step() >= STEPS.length - 1) stop(); else setStep(step() + Math.max(Math.round(STEPS.length * pause / 60000), 1)); }, pause);
}

function stop() {
  clearInterval(state.timer);
  state.timer = 0;
  const button = document.getElementById("play");
  button.setAttribute("aria-pressed", "false");
  button.textContent = "▶ play";
}

function showEvent(event) {
  state.event = STEPS[STEP_OF.get(event)] ?? event;
  state.leaf = null;
  refresh();
  if (state.view === "graph") follow(state.event);
  else if (VIEWS[state.view].step) VIEWS[state.view].step(state.event);
}

function showLeaf(leaf) { state.leaf = leaf; refresh(); }

// The panel of a step is filled a moment after the scrubber rests, so that scrubbing stays smooth.
function refresh() {
  const scrub = document.getElementById("scrub"), where = document.getElementById("where");
  if (!STEPS.length) { where.textContent = "nothing to step through"; return; }
  const n = step(), e = EVENTS[state.event];
  scrub.value = String(n);
  scrub.setAttribute("aria-valuetext", `step ${n + 1}: ${title(state.event)}`);
  const of = isPull(e) ? EVENTS[e.a] : e;
  where.replaceChildren(`step ${count(n + 1)} of ${count(STEPS.length)} · `, make(`b.${phase(state.event)}`, {}, PHASES[phase(state.event)]),
    ` · ${title(state.event)}${of.m ? ` · ${of.m}` : ""}${PART[state.event] ? ` · ${PART[state.event]}` : ""} · ${duration(e.t)}${e.j ? " (with compiling)" : ""} · ${bytes(TAPE.live[state.event])} alive`);
  drawGraph();
  clearTimeout(state.filling);
  state.filling = setTimeout(fillPanel, state.drawn ? 40 : 0);
}

function fillPanel() {
  state.drawn = true;
  const panel = document.getElementById("panel");
  panel.replaceChildren(...(state.leaf !== null ? leafPanel(state.leaf) : eventPanel(state.event)));
  panel.dataset.event = String(state.leaf !== null ? `leaf ${state.leaf}` : state.event);
}

// The steps as a list, for those who do not use the graph.
function listView(stage) {
  stage.className = "";
  const box = make("div.inner"), list = make("ol.list", { "aria-label": "Steps of the tape" });
  const fill = () => {
    const from = Math.max(step() - 60, 0), to = Math.min(from + 121, STEPS.length);
    list.replaceChildren(...STEPS.slice(from, to).map((event, i) => make("li", {}, make("button", {
      type: "button", "aria-current": event === state.event ? "true" : "false", onclick: () => showEvent(event),
    }, `${from + i + 1}  `, make(`b.${phase(event)}`, {}, title(event)), " ", make("span.faint", {}, [EVENTS[event].m || (isPull(EVENTS[event]) ? EVENTS[EVENTS[event].a].m : ""), PART[event], duration(EVENTS[event].t)].filter(Boolean).join(" · "))))));
    const current = list.querySelector("[aria-current=true]");
    if (current) current.scrollIntoView({ block: "nearest" });
  };
  box.append(list);
  stage.replaceChildren(box);
  fill();
  VIEWS.list.step = fill;
}
