// An array on the page: statistics, histogram, picture, and its numbers, of which some can be clicked.

function statistics(v) {
  const [nan, inf, zeros, low, high, mean, std, norm] = v.f, n = size(v.sh);
  if (n === 0) return make("p.faint", {}, `empty (${shape(v.sh)}), ${v.d}`);
  return facts([
    ["shape", `${shape(v.sh)}, ${v.d}${v.dev ? `, on ${v.dev}` : ""}`],
    n > 1 || low === null ? ["range", `${number(low)} to ${number(high)}`] : ["value", number(low)],
    n > 1 ? ["mean ± std", `${number(mean)} ± ${number(std)}`] : null,
    n > 1 ? ["norm", number(norm)] : null,
    n > 1 || zeros ? ["zeros", percent(zeros)] : null,
    nan ? ["NaN", make("strong.bad", {}, plural(nan, "element"))] : null,
    inf ? ["inf", make("strong.bad", {}, plural(inf, "element"))] : null,
  ]);
}

function histogram(v) {
  if (!v.c) return null;
  const width = 240, height = 56, canvas = make("canvas", {
    width: width * 2, height: height * 2, role: "img", style: `width:${width}px;height:${height}px`,
    "aria-label": `Histogram from ${number(v.f[3])} to ${number(v.f[4])}: ${v.c.join(", ")}`,
  });
  const g = canvas.getContext("2d"), most = Math.max(...v.c), w = canvas.width / v.c.length;
  g.fillStyle = colour("--forward");
  v.c.forEach((c, i) => {
    const h = most ? Math.max(c / most * (canvas.height - 4), c ? 2 : 0) : 0;
    g.fillRect(i * w + 1, canvas.height - h, w - 2, h);
  });
  g.fillStyle = colour("--faint");
  const low = v.f[3], high = v.f[4];
  if (low < 0 && high > 0) g.fillRect(-low / (high - low) * canvas.width, 0, 1, canvas.height);
  return make("figure", {}, canvas, make("figcaption", {}, `${number(low)} … ${number(high)}`));
}

function pictures(v) {
  if (!v.pic) return null;
  const [n, h, w, channels] = v.pic.sh, raw = decoded(v.pic.a, "uint8"), tiles = [];
  const scale = Math.max(Math.floor(56 / Math.max(h, w)), 1);
  for (let k = 0; k < n; k++) {
    const canvas = make("canvas", { width: w, height: h, style: `width:${w * scale}px;height:${h * scale}px`, role: "img", "aria-label": `picture ${k}` });
    const g = canvas.getContext("2d"), image = g.createImageData(w, h);
    for (let i = 0; i < h * w; i++) for (let c = 0; c < 3; c++) {
      image.data[i * 4 + c] = channels ? raw[(k * h * w + i) * 3 + c] : raw[k * h * w + i];
      image.data[i * 4 + 3] = 255;
    }
    g.putImageData(image, 0, 0);
    tiles.push(canvas);
  }
  const what = v.sh[1] === 1 || v.sh[1] === 3 || Math.max(v.sh[2], v.sh[3]) <= 7 ? `of ${v.sh[0]} along the first axis` : `of ${v.sh[1]} channels of the first image`;
  return make("figure", {}, make("div.tiles", {}, tiles),
    make("figcaption", {}, `${n} ${what}, black ${number(v.pic.lo)} to white ${number(v.pic.hi)}`));
}

// The colour of a cell: how large a number is beside the largest, blue below 0 and orange above.
function shade(x, most) {
  if (!Number.isFinite(x) || !most) return "";
  return `background:rgba(var(${x < 0 ? "--low" : "--high"}), ${(Math.min(Math.abs(x) / most, 1) * 0.55).toFixed(3)})`;
}

function largest(numbers) {
  let most = 0;
  for (const x of numbers) if (Math.abs(x) > most && Number.isFinite(x)) most = Math.abs(x);
  return most;
}

// A table of numbers of two axes; `cell(td, i, j, x)` may change each.
function grid(numbers, rows, columns, options = {}) {
  const most = options.most ?? largest(numbers), body = make("tbody");
  if (options.heads) body.append(make("tr", {}, make("th"), Array.from({ length: columns }, (_, j) => make("th", { scope: "col" }, String(j)))));
  for (let i = 0; i < rows; i++) {
    const line = make("tr");
    if (options.heads) line.append(make("th", { scope: "row" }, String(i)));
    for (let j = 0; j < columns; j++) {
      const x = numbers[i * columns + j];
      const td = make("td", { style: shade(x, most) }, number(x));
      if (options.cell) options.cell(td, i, j, x);
      line.append(td);
    }
    body.append(line);
  }
  return make("div.scroll", {}, make("table.cells", {}, body));
}

// The sampled numbers of a value. `rows`: Map from an element's "i,j,..." to its row; `choose(row, td)` on a click.
function numbers(v, rows = new Map(), choose = null) {
  if (size(v.sh) === 0) return make("p.faint", {}, "no elements");
  const complex = v.d.startsWith("complex");
  const data = decoded(v.a, v.d), taken = v.x;
  const columns = taken.length ? taken[taken.length - 1] : 1, lines = taken.length > 1 ? taken[taken.length - 2] : 1;
  const lead = taken.slice(0, -2), planes = size(lead), box = make("div");
  let plane = 0;
  const draw = () => {
    const index = [];
    for (let k = lead.length - 1, left = plane; k >= 0; k--) { index.unshift(left % lead[k]); left = Math.floor(left / lead[k]); }
    const part = complex ? data : data.subarray(plane * lines * columns, (plane + 1) * lines * columns);
    const table = grid(part, complex ? 1 : lines, complex ? Math.min(part.length, 64) : columns, {
      heads: taken.length > 0,
      cell: (td, i, j) => {
        const row = rows.get([...index, ...(taken.length > 1 ? [i] : []), ...(taken.length ? [j] : [])].join(","));
        if (!row || !choose) return;
        td.className = "row";
        td.tabIndex = 0;
        td.setAttribute("role", "button");
        td.setAttribute("aria-label", `element ${row.e.join(", ")}: ${td.textContent}; show where it came from`);
        td.dataset.element = row.e.join(",");
        const pick = () => {
          box.querySelectorAll(".chosen").forEach(x => x.classList.remove("chosen"));
          td.classList.add("chosen");
          choose(row);
        };
        td.addEventListener("click", pick);
        td.addEventListener("keydown", k => { if (k.key === "Enter" || k.key === " ") { k.preventDefault(); k.stopPropagation(); pick(); } });
      },
    });
    const controls = planes > 1 ? make("label.faint", {}, "at [",
      make("select", { "aria-label": "Which plane", onchange: e => { plane = Number(e.target.value); draw(); } },
        Array.from({ length: Math.min(planes, 512) }, (_, p) => {
          const at = [];
          for (let k = lead.length - 1, left = p; k >= 0; k--) { at.unshift(left % lead[k]); left = Math.floor(left / lead[k]); }
          return make("option", { value: p, selected: p === plane }, at.join(", "));
        })), ", :, :]") : null;
    const whole = size(taken) === size(v.sh);
    const note = whole ? null : make("p.faint", {}, `${shape(taken)} of ${shape(v.sh)}: the first numbers along each axis`);
    box.replaceChildren(...[controls, table, note, complex ? make("p.faint", {}, "real and imaginary parts in turn") : null].filter(Boolean));
  };
  draw();
  return box;
}

function value(v, rows, choose) {
  return make("div", {}, make("div.beside", {}, statistics(v), histogram(v)), pictures(v), numbers(v, rows, choose));
}
