// A small interpreter of NumPy expressions, for ninja mode. Lines `name = expression`, and an expression last.
//
// Arrays are {sh, a}: shape, and float64 in C order. Operators + - * / ** @ and comparisons, with broadcasting; the
// functions in FUNCTIONS; methods sum, mean, reshape, transpose, T, shape, size. `np.` may be left out. Nothing of the
// page can be reached from here: names are looked up in the exercise's variables only.

class Wrong extends Error {}

function array(sh, a) { return { sh, a }; }
function scalar(x) { return array([], Float64Array.of(x)); }

function strides(sh) {
  const s = new Array(sh.length);
  for (let i = sh.length - 1, n = 1; i >= 0; i--) { s[i] = n; n *= sh[i]; }
  return s;
}

function broadcastShape(a, b, what) {
  const n = Math.max(a.length, b.length), out = [];
  for (let i = 0; i < n; i++) {
    const x = a[a.length - n + i] ?? 1, y = b[b.length - n + i] ?? 1;
    if (x !== y && x !== 1 && y !== 1) throw new Wrong(`${what}: shapes (${a.join(", ")}) and (${b.join(", ")}) cannot be broadcast`);
    out.push(x === 1 ? y : x);
  }
  return out;
}

function broadcast(x, sh) {
  const s = strides(x.sh), out = new Float64Array(size(sh)), lead = sh.length - x.sh.length;
  for (let i = 0; i < out.length; i++) {
    let left = i, at = 0;
    for (let k = sh.length - 1; k >= 0; k--) {
      const index = left % sh[k];
      left = Math.floor(left / sh[k]);
      if (k >= lead && x.sh[k - lead] !== 1) at += index * s[k - lead];
    }
    out[i] = x.a[at];
  }
  return array(sh, out);
}

function elementwise(what, f, ...xs) {
  const sh = xs.map(x => x.sh).reduce((a, b) => broadcastShape(a, b, what)), wide = xs.map(x => broadcast(x, sh));
  return array(sh, Float64Array.from({ length: size(sh) }, (_, i) => f(...wide.map(x => x.a[i]))));
}

function axesOf(x, axis, what) {
  if (axis === undefined || axis === null) return x.sh.map((_, i) => i);
  const list = Array.isArray(axis) ? axis : [axis];
  return list.map(a => {
    const n = a < 0 ? a + x.sh.length : a;
    if (!(n >= 0 && n < x.sh.length)) throw new Wrong(`${what}: axis ${a} is outside the ${x.sh.length} axes`);
    return n;
  });
}

function reduced(x, axis, keep, what) {
  const axes = axesOf(x, axis, what), kept = x.sh.map((n, i) => axes.includes(i) ? 1 : n), out = new Float64Array(size(kept)), s = strides(kept), all = strides(x.sh);
  for (let i = 0; i < x.a.length; i++) {
    let at = 0;
    for (let k = 0; k < x.sh.length; k++) if (!axes.includes(k)) at += Math.floor(i / all[k]) % x.sh[k] * s[k];
    out[at] += x.a[i];
  }
  return array(keep ? kept : x.sh.filter((_, i) => !axes.includes(i)), out);
}

function permuted(x, order) {
  if (order.length !== x.sh.length || [...order].sort().some((v, i) => v !== i)) throw new Wrong(`transpose: (${order.join(", ")}) is not an order of ${x.sh.length} axes`);
  const sh = order.map(k => x.sh[k]), from = strides(x.sh), to = strides(sh), out = new Float64Array(x.a.length);
  for (let i = 0; i < out.length; i++) {
    let at = 0;
    for (let k = 0; k < sh.length; k++) at += Math.floor(i / to[k]) % sh[k] * from[order[k]];
    out[i] = x.a[at];
  }
  return array(sh, out);
}

function reshaped(x, sh) {
  const open = sh.indexOf(-1);
  const shape = sh.map((n, i) => i === open ? x.a.length / size(sh.filter((_, k) => k !== open)) : n);
  if (size(shape) !== x.a.length) throw new Wrong(`reshape: (${x.sh.join(", ")}) has ${x.a.length} elements, which do not fit (${sh.join(", ")})`);
  return array(shape, x.a);
}

function product(x, y) {
  if (!x.sh.length || !y.sh.length) throw new Wrong("@: a number has no rows; use *");
  const a = x.sh.length === 1 ? reshaped(x, [1, x.sh[0]]) : x, b = y.sh.length === 1 ? reshaped(y, [y.sh[0], 1]) : y;
  if (a.sh.length > 2 || b.sh.length > 2) throw new Wrong("@: only matrices and vectors here");
  const [m, k] = a.sh, [l, n] = b.sh;
  if (k !== l) throw new Wrong(`@: (${x.sh.join(", ")}) and (${y.sh.join(", ")}): ${k} columns meet ${l} rows`);
  const out = new Float64Array(m * n);
  for (let i = 0; i < m; i++) for (let j = 0; j < n; j++) for (let t = 0; t < k; t++) out[i * n + j] += a.a[i * k + t] * b.a[t * n + j];
  return array([...(x.sh.length === 1 ? [] : [m]), ...(y.sh.length === 1 ? [] : [n])], out);
}

function convolved(x, w, padding = 0) {
  if (x.sh.length !== 4 || w.sh.length !== 4 || x.sh[1] !== w.sh[1]) throw new Wrong(`conv2d: x (N,C,H,W) and w (O,C,kH,kW), got (${x.sh.join(", ")}) and (${w.sh.join(", ")})`);
  const [n, c, h, v] = x.sh, [o, , kh, kw] = w.sh, oh = h + 2 * padding - kh + 1, ow = v + 2 * padding - kw + 1;
  if (oh < 1 || ow < 1) throw new Wrong("conv2d: the filter is larger than the padded image");
  const out = new Float64Array(n * o * oh * ow);
  let at = 0;
  for (let b = 0; b < n; b++) for (let f = 0; f < o; f++) for (let i = 0; i < oh; i++) for (let j = 0; j < ow; j++, at++)
    for (let k = 0; k < c; k++) for (let u = 0; u < kh; u++) for (let t = 0; t < kw; t++) {
      const y = i + u - padding, z = j + t - padding;
      if (y >= 0 && y < h && z >= 0 && z < v) out[at] += w.a[((f * c + k) * kh + u) * kw + t] * x.a[((b * c + k) * h + y) * v + z];
    }
  return array([n, o, oh, ow], out);
}

function flipped(x, axis) {
  const axes = axesOf(x, axis, "flip"), s = strides(x.sh), out = new Float64Array(x.a.length);
  for (let i = 0; i < out.length; i++) {
    let at = 0;
    for (let k = 0; k < x.sh.length; k++) { const index = Math.floor(i / s[k]) % x.sh[k]; at += (axes.includes(k) ? x.sh[k] - 1 - index : index) * s[k]; }
    out[i] = x.a[at];
  }
  return array(x.sh, out);
}

const plain = x => x !== null && typeof x === "object" && !Array.isArray(x) ? (x.sh.length ? undefined : x.a[0]) : Array.isArray(x) ? x.map(plain) : x;
const one = f => (x) => elementwise("function", f, x);
const FUNCTIONS = {
  exp: one(Math.exp), log: one(Math.log), sqrt: one(Math.sqrt), tanh: one(Math.tanh), abs: one(Math.abs), sign: one(Math.sign),
  square: one(x => x * x), sin: one(Math.sin), cos: one(Math.cos),
  maximum: (a, b) => elementwise("maximum", Math.max, a, b), minimum: (a, b) => elementwise("minimum", Math.min, a, b),
  where: (c, a, b) => elementwise("where", (k, x, y) => k ? x : y, c, a, b),
  sum: (x, axis, keep) => reduced(x, plain(axis), keep, "sum"),
  mean: (x, axis, keep) => { const s = reduced(x, plain(axis), keep, "mean"); return array(s.sh, s.a.map(v => v * s.a.length / x.a.length)); },
  zeros_like: x => array(x.sh, new Float64Array(x.a.length)), ones_like: x => array(x.sh, new Float64Array(x.a.length).fill(1)),
  transpose: (x, order) => permuted(x, order === undefined ? x.sh.map((_, i) => x.sh.length - 1 - i) : plain(order)),
  reshape: (x, sh) => reshaped(x, [plain(sh)].flat()), flip: (x, axis) => flipped(x, plain(axis)), matmul: product,
  conv2d: (x, w, padding) => convolved(x, w, padding === undefined ? 0 : plain(padding)),
};
const NAMED = { sum: ["axis", "keepdims"], mean: ["axis", "keepdims"], flip: ["axis"], transpose: ["axes"], conv2d: ["w", "padding"] };

function tokens(text) {
  const found = [], pattern = /\s*(?:(\d+\.?\d*(?:[eE][-+]?\d+)?|\.\d+(?:[eE][-+]?\d+)?)|([A-Za-z_]\w*)|(\*\*|<=|>=|==|!=|[-+*/@()<>,.=[\]]))/y;
  pattern.lastIndex = 0;
  text = text.trimEnd();
  while (pattern.lastIndex < text.length) {
    const at = pattern.lastIndex, m = pattern.exec(text);
    if (!m) throw new Wrong(`"${text.slice(at).trim()[0]}" is not understood here`);
    found.push(m[1] !== undefined ? { number: Number(m[1]) } : m[2] ? { name: m[2] } : { sign: m[3] });
  }
  return found;
}

function evaluated(text, names) {
  const list = tokens(text);
  let at = 0;
  const peek = s => at < list.length && list[at].sign === s, take = s => peek(s) && ++at;
  const need = s => { if (!take(s)) throw new Wrong(`"${s}" is missing${at < list.length ? ` before "${list[at].sign ?? list[at].name ?? list[at].number}"` : " at the end"}`); };
  const binary = { "+": (a, b) => a + b, "-": (a, b) => a - b, "*": (a, b) => a * b, "/": (a, b) => a / b, "**": (a, b) => a ** b,
    "<": (a, b) => a < b, ">": (a, b) => a > b, "<=": (a, b) => a <= b, ">=": (a, b) => a >= b, "==": (a, b) => a === b, "!=": (a, b) => a !== b };
  const apply = (sign, a, b) => sign === "@" ? product(isArray(a), isArray(b)) : elementwise(sign, binary[sign], isArray(a), isArray(b));
  const isArray = x => { if (Array.isArray(x) || x === null || typeof x !== "object") throw new Wrong("an array or a number is expected here"); return x; };

  function comparison() {
    let left = sum();
    for (const sign of ["<=", ">=", "==", "!=", "<", ">"]) if (take(sign)) return apply(sign, left, sum());
    return left;
  }
  function sum() {
    let left = term();
    for (;;) { if (take("+")) left = apply("+", left, term()); else if (take("-")) left = apply("-", left, term()); else return left; }
  }
  function term() {
    let left = unary();
    for (;;) {
      const sign = ["*", "/", "@"].find(s => peek(s));
      if (!sign) return left;
      at++;
      left = apply(sign, left, unary());
    }
  }
  function unary() {
    if (take("-")) return apply("*", scalar(-1), unary());
    if (take("+")) return unary();
    const base = postfix();
    return take("**") ? apply("**", base, unary()) : base;
  }
  function call(f, name, first) {
    const values = first === undefined ? [] : [first], order = NAMED[name] || [];
    need("(");
    while (!peek(")")) {
      if (list[at]?.name && list[at + 1]?.sign === "=") {
        const key = list[at].name, place = order.indexOf(key);
        if (place < 0) throw new Wrong(`${name} has no argument ${key}`);
        at += 2;
        values[place + 1] = comparison();
      } else values.push(comparison());
      if (!take(",")) break;
    }
    need(")");
    if (values[0] === undefined) throw new Wrong(`${name} needs an argument`);
    isArray(values[0]);
    return f(...values);
  }
  function postfix() {
    let x = primary();
    for (;;) {
      if (take(".")) {
        const name = list[at++]?.name;
        isArray(x);
        if (name === "T") x = FUNCTIONS.transpose(x);
        else if (name === "shape") x = x.sh.map(scalar);
        else if (name === "size") x = scalar(x.a.length);
        else if (["reshape", "transpose"].includes(name)) {
          need("(");
          const numbers = [];
          while (!peek(")")) { numbers.push(comparison()); if (!take(",")) break; }
          need(")");
          const flat = numbers.flat().map(plain);
          x = name === "reshape" ? reshaped(x, flat) : flat.length ? permuted(x, flat) : FUNCTIONS.transpose(x);
        } else if (["sum", "mean"].includes(name)) x = call(FUNCTIONS[name], name, x);
        else throw new Wrong(`there is no .${name ?? ""} here; sum, mean, reshape, transpose, T, shape and size are`);
      } else if (take("[")) {
        if (!Array.isArray(x)) throw new Wrong("indexing is only understood for .shape here");
        const i = plain(comparison());
        need("]");
        x = x[i < 0 ? i + x.length : i];
        if (x === undefined) throw new Wrong(`there is no axis ${i}`);
      } else return x;
    }
  }
  function primary() {
    const token = list[at++];
    if (!token) throw new Wrong("the expression ends too early");
    if (token.number !== undefined) return scalar(token.number);
    if (token.sign === "(") {
      const items = [comparison()];
      let tuple = false;
      while (take(",")) { tuple = true; if (!peek(")")) items.push(comparison()); }
      need(")");
      return tuple ? items : items[0];
    }
    if (token.name === "np" || token.name === "numpy") { need("."); return callNamed(list[at++]?.name); }
    if (token.name === "True" || token.name === "False") return scalar(token.name === "True" ? 1 : 0);
    if (token.name && Object.hasOwn(names, token.name)) return names[token.name];
    if (token.name && peek("(")) return callNamed(token.name);
    throw new Wrong(token.name ? `there is no ${token.name}; there are ${Object.keys(names).join(", ")}` : `"${token.sign}" stands where a value should`);
  }
  function callNamed(name) {
    if (!name || !Object.hasOwn(FUNCTIONS, name)) throw new Wrong(`np.${name ?? ""} is not here; ${Object.keys(FUNCTIONS).join(", ")} are`);
    return call(FUNCTIONS[name], name);
  }
  const result = comparison();
  if (at < list.length) throw new Wrong(`"${list[at].sign ?? list[at].name ?? list[at].number}" is left over`);
  return result;
}

// Run lines of assignments and an expression; returns its array.
function run(text, variables) {
  const names = { ...variables }, lines = text.split(/\n|;/).map(l => l.replace(/#.*/, "").replace(/^\s*return\b/, "")).filter(l => l.trim());
  if (!lines.length) throw new Wrong("type an expression first");
  let last = null;
  lines.forEach((line, i) => {
    const m = /^\s*([A-Za-z_]\w*)\s*=(?!=)(.*)$/.exec(line);
    last = evaluated(m ? m[2] : line, names);
    if (m) names[m[1]] = last;
  });
  if (Array.isArray(last)) throw new Wrong("the last line is a tuple, and should be the gradient");
  return last;
}

// Compare with the answer; {right, text, at}: the first wrong element.
function graded(text, variables, answer, tolerance = 1e-6) {
  let got;
  try { got = run(text, variables); } catch (error) {
    if (error instanceof Wrong) return { right: false, text: error.message };
    throw error;
  }
  if (got.sh.join() !== answer.sh.join()) return { right: false, text: `it has shape (${got.sh.join(", ")}), and the gradient has (${answer.sh.join(", ")})` };
  const scale = Math.max(largest(answer.a), 1e-30);
  for (let i = 0; i < answer.a.length; i++) if (!(Math.abs(got.a[i] - answer.a[i]) <= tolerance * scale))
    return { right: false, at: i, text: `the first wrong element is [${unravelled(i, answer.sh).join(", ")}]: ${number(got.a[i])}, and the tape has ${number(answer.a[i])}` };
  return { right: true, text: "Right: every element agrees with what the engine computed." };
}
