// What the page starts with.

const VIEWS = {
  graph: { name: "Graph", draw: graphView },
  list: { name: "Steps", draw: listView },
  game: { name: "Parts and losses", draw: gameView },
  health: { name: "Where did it go wrong?", draw: healthView },
  ninja: { name: "Ninja", draw: ninjaView },
};

function openView(name) {
  state.view = name;
  document.querySelectorAll("#views button").forEach(b => {
    b.setAttribute("aria-selected", String(b.dataset.view === name));
    b.tabIndex = b.dataset.view === name ? 0 : -1;
  });
  VIEWS[name].step = null;
  VIEWS[name].draw(document.getElementById("stage"));
}

function start() {
  document.title = `${TAPE.title} · backprop inspector`;
  document.getElementById("title").textContent = TAPE.title || "Backprop inspector";
  const a = TAPE.about;
  document.getElementById("about").textContent = `scratchgan ${a.scratchgan}, Python ${a.python}, NumPy ${a.numpy}, ${a.machine}`;
  const notices = document.getElementById("notices");
  if (TAPE.error) notices.append(make("p.notice.bad", {}, `The program did not finish: ${TAPE.error.text}. This is the tape up to there. `, TAPE.error.event === null ? "" : go(TAPE.error.event, "go to where it ended")));
  if (TAPE.notices.length) {
    const important = !EVENTS.length || TAPE.notices.some(n => n.startsWith("Sampled"));
    notices.append(make("details", { open: important }, make("summary", {}, `what is not here (${TAPE.notices.length})`), TAPE.notices.map(n => make("p.notice", {}, n))));
  }
  if (TAPE.compare) { VIEWS.compare = { name: "Two recordings", draw: compareView }; state.compared = comparedTone; }
  const views = document.getElementById("views");
  for (const [name, v] of Object.entries(VIEWS)) views.append(make("button", { type: "button", role: "tab", "data-view": name, id: `view-${name}`, "aria-controls": "stage", onclick: () => openView(name) }, v.name));
  views.addEventListener("keydown", k => {
    const buttons = [...views.children], at = buttons.indexOf(document.activeElement);
    if (at < 0 || !["ArrowLeft", "ArrowRight"].includes(k.key)) return;
    k.preventDefault();
    k.stopPropagation();
    const next = buttons[(at + (k.key === "ArrowRight" ? 1 : buttons.length - 1)) % buttons.length];
    next.focus();
    openView(next.dataset.view);
  });
  transport();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => openView(state.view));
  const from = TAPE.error && TAPE.error.event !== null ? TAPE.error.event : STEPS[0];
  if (STEPS.length) state.event = from;
  openView(TAPE.compare ? "compare" : "graph");
  refresh();
  document.documentElement.dataset.ready = String(Math.round(performance.now()));
}
