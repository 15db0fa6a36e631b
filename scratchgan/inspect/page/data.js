// The recording, read once; and the questions about it that every view asks.

const TAPE = JSON.parse(document.getElementById("recording").textContent);
const COURSE = JSON.parse(document.getElementById("exercises").textContent);
const EVENTS = TAPE.events, VALUES = TAPE.values, LEAVES = TAPE.leaves;

// The numbers of a base64 string in one of NumPy's dtypes. A complex number comes as two.
function decoded(text, dtype) {
  const raw = atob(text), bytes = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) bytes[i] = raw.charCodeAt(i);
  const kinds = {
    float32: Float32Array, float64: Float64Array, int8: Int8Array, int16: Int16Array, int32: Int32Array,
    int64: BigInt64Array, uint8: Uint8Array, uint16: Uint16Array, uint32: Uint32Array, uint64: BigUint64Array,
    bool: Uint8Array, complex64: Float32Array, complex128: Float64Array, float16: null,
  };
  if (dtype === "float16") return halves(new Uint16Array(bytes.buffer));
  const numbers = kinds[dtype] ? new kinds[dtype](bytes.buffer) : new Float64Array(0);
  return dtype.endsWith("64") && dtype.includes("int") ? Float64Array.from(numbers, Number) : numbers;
}

function halves(words) {
  return Float32Array.from(words, w => {
    const sign = w & 0x8000 ? -1 : 1, exponent = (w >> 10) & 31, fraction = w & 1023;
    if (exponent === 31) return fraction ? NaN : sign * Infinity;
    return sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -14 * (fraction / 1024));
  });
}

function size(shape) { return shape.reduce((a, b) => a * b, 1); }

const isApply = e => e.k === "apply", isPull = e => e.k === "pull", isWalk = e => e.k === "walk";

// Operators that a vjp ran for itself, without leaving Nodes: they are shown inside of it.
function isInner(event) { return isApply(event) && event.p !== undefined && !event.g; }

// The steps of the tape: everything but inner operators, in the order in which it began.
const STEPS = [];
const STEP_OF = new Map(); // event -> its step; an inner operator's is its vjp's
EVENTS.forEach((event, i) => {
  if (!isInner(event)) { STEP_OF.set(i, STEPS.length); STEPS.push(i); }
  else STEP_OF.set(i, STEP_OF.get(event.p));
});

// By Application: its vjps; by leaf: what arrived and which steps changed it; by event: the operators inside.
const PULLS = new Map(), ARRIVALS = new Map(), CHANGES = new Map(), INSIDE = new Map();
function noted(map, key, item) { if (map.has(key)) map.get(key).push(item); else map.set(key, [item]); }
EVENTS.forEach((event, i) => {
  if (isPull(event)) noted(PULLS, event.a, i);
  if (isWalk(event)) event.l.forEach(a => noted(ARRIVALS, a.l, { walk: i, value: a.v, flows: a.w }));
  if (event.k === "update") event.d.forEach(d => noted(CHANGES, d[0], { event: i, before: d[1], gradient: d[2], after: d[3] }));
  if (isInner(event)) noted(INSIDE, event.p, i);
});

const VERDICTS = new Map(); // "pull:input" -> verdict
if (TAPE.checks) TAPE.checks.edges.forEach(v => VERDICTS.set(`${v.p}:${v.i}`, v));

// Whether an operator is part of a gradient that is itself differentiated.
function isSecond(event) { return isApply(event) && event.p !== undefined && Boolean(event.g); }

// The part that an event belongs to: what the program said, or that of what made its first input.
const PART = EVENTS.map(e => e.q || "");
EVENTS.forEach((event, i) => {
  if (isApply(event) && !PART[i]) {
    const from = event.i.find(x => x.m !== undefined && x.f);
    if (from) PART[i] = PART[from.m];
  }
});
EVENTS.forEach((event, i) => { if (isPull(event) && !PART[i]) PART[i] = PART[event.a]; });
const PARTS = [...new Set(PART.filter(Boolean))];

function leafName(l) { return LEAVES[l].n || (LEAVES[l].p ? `leaf ${l}` : `constant ${l}`); }

// What an input is called: its leaf's name, or the operator that made it.
function inputName(input) {
  if (input.l !== undefined) return leafName(input.l);
  if (input.m !== undefined) return EVENTS[input.m].n;
  return "number";
}
