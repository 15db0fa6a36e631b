// Ninja mode: exercises whose answers are compared here, in the page, with recorded numbers.

const solved = new Set();

function ninjaView(stage) {
  stage.className = "";
  const place = make("div"), list = make("select", { id: "exercise", "aria-label": "Exercise" });
  const all = [...COURSE.map(x => ({ ...x, tolerance: 1e-6 })), ...(state.own ? [state.own] : [])];
  all.forEach((x, i) => list.append(make("option", { value: i }, `${i + 1}. ${x.title}`)));
  const show = i => { list.value = String(i); place.replaceChildren(exercise(all[i], () => show(Math.min(i + 1, all.length - 1)))); };
  list.addEventListener("change", () => show(Number(list.value)));
  stage.replaceChildren(make("div.inner", {}, make("h2", {}, "Ninja mode"),
    make("p", {}, "A vjp is missing; you type it. Your NumPy is run by a small interpreter in this page and compared, element by element, with what the engine computed. ",
      make("span.faint", {}, "Lines may assign (t = ...); the last line is the gradient.")), list, place));
  show(state.own ? all.length - 1 : 0);
}

function listedArrays(arrays) {
  return make("div.beside", {}, Object.entries(arrays).map(([name, x]) => make("figure", {}, make("figcaption", {}, `${name}, ${shape(x.sh)}`),
    x.sh.length === 4 ? grid(x.a.slice(0, x.sh[2] * x.sh[3]), x.sh[2], x.sh[3]) : grid(x.a, x.sh.length > 1 ? size(x.sh.slice(0, -1)) : 1, x.sh.length ? x.sh[x.sh.length - 1] : 1))));
}

function exercise(x, next) {
  const variables = Object.fromEntries(Object.entries(x.arrays).map(([name, v]) => [name, array(v.sh, Float64Array.from(v.a))]));
  const answer = array(x.answer.sh, Float64Array.from(x.answer.a));
  const field = make("textarea", { id: "answer", "aria-label": `The gradient of ${x.by}, in NumPy`, spellcheck: "false", autocapitalize: "off" });
  const verdict = make("p", { id: "graded", role: "status" }), shown = make("div");
  const check = () => {
    const r = graded(field.value, variables, answer, x.tolerance);
    verdict.className = r.right ? "good" : "bad";
    verdict.textContent = (r.right ? "✓ " : "✗ ") + r.text;
    shown.replaceChildren();
    if (r.right) { solved.add(x.title); shown.append(make("button", { type: "button", onclick: next }, "next exercise")); }
    else if (r.at !== undefined) shown.append(make("div.beside", {}, make("figure", {}, make("figcaption", {}, "yours; the first wrong element is marked"), marked(run(field.value, variables), r.at))));
  };
  field.addEventListener("keydown", k => { if (k.key === "Enter" && (k.ctrlKey || k.metaKey)) { k.preventDefault(); check(); } });
  return make("div.exercise", { "data-title": x.title }, make("h3", {}, x.title, solved.has(x.title) ? make("span.good", {}, " ✓") : ""), make("p", {}, x.text),
    make("p", {}, `You have ${Object.keys(x.arrays).join(", ")}, where gy is the gradient that arrived at y. The gradient of `, make("b", {}, x.by), ` (${shape(x.answer.sh)}) is:`),
    field, make("p", {}, make("button", { type: "button", id: "grade", onclick: check }, "check (Ctrl+Enter)"), " ",
      x.hint ? make("details", { style: "display:inline-block" }, make("summary", {}, "hint"), x.hint) : "", " ",
      x.solution ? make("details", { style: "display:inline-block" }, make("summary", {}, "solution"), make("pre", {}, x.solution)) : ""),
    verdict, shown, make("h3", {}, "The numbers"), listedArrays(x.arrays));
}

function marked(x, at) {
  const columns = x.sh.length ? x.sh[x.sh.length - 1] : 1;
  return grid(x.a, x.a.length / Math.max(columns, 1), columns, { cell: (td, i, j) => { if (i * columns + j === at) td.classList.add("wrong"); } });
}

// The vjp of a node of this tape as an exercise, where all its numbers are here.
function ownExercises(apply, pull) {
  if (pull === undefined) return null;
  const f = EVENTS[apply], p = EVENTS[pull];
  const whole = v => size(VALUES[v].x) === size(VALUES[v].sh) && size(VALUES[v].sh) <= 256 && VALUES[v].d.startsWith("float");
  const needed = [...f.i.map(x => x.v), ...f.o, ...p.gy];
  if (f.o.length !== 1 || needed.some(v => v === null || !whole(v))) return null;
  const listed = v => ({ sh: VALUES[v].sh, a: Array.from(decoded(VALUES[v].a, VALUES[v].d)) });
  const names = f.i.length === 1 ? ["x"] : f.i.length === 2 ? ["a", "b"] : f.i.map((_, i) => `x${i}`);
  return section("Practise", false, p.gx.map((g, i) => g === null || !whole(g) ? null : make("button", {
    type: "button", onclick: () => {
      state.own = {
        title: `${f.n} at step ${stepName(pull)}`, by: names[i], tolerance: VALUES[g].d === "float32" ? 1e-4 : 1e-6,
        text: `y = ${f.n}(${names.join(", ")})${f.h ? `, ${f.h}` : ""}, with the numbers of this tape.`,
        arrays: { ...Object.fromEntries(names.map((n, k) => [n, listed(f.i[k].v)])), y: listed(f.o[0]), gy: listed(p.gy[0]) }, answer: listed(g),
      };
      state.hidden = true;
      openView("ninja");
      refresh();
    },
  }, `Hide the rule, and let me type the gradient of ${inputName(f.i[i])}`)));
}
