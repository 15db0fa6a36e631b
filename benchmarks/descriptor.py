"""Problem descriptors in the grammar of oneDNN's benchdnn: one line names one problem.

    conv --dir=BWD_W mb64ic64ih32oc128kh4sh2ph1 n"D64.2"
    ^    ^           ^                           ^
    |    options     dimensions: key and number  a name

Keys: mb batch, g groups, ic and oc channels, ih iw oh ow image, kh kw kernel, sh sw stride, ph pw padding, dh dw
dilation, uh uw enlargement (of `upconv`, our own driver). An underscore may stand between two of them. As in benchdnn:

- what is given for the height alone holds for the width, and the other way round;
- of input size, output size and padding, the one that is missing is computed (both ih and oh given: ph);
- dh counts the zeros between kernel elements, so dh0 is PyTorch's dilation=1 and dh1 its dilation=2;
- a batch that is not given is 2.

Options: --dir=FWD_B (forward with bias), FWD_D (without), BWD_D (input gradient), BWD_W (weight gradient); --dt=f32 or
f64; --alg=nearest, linear or fir (resampling), max, avg_p (padding counts) or avg_np (pool).
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, replace
from pathlib import Path

#: The directions of a pass, and what people call them.
DIRECTIONS = {"FWD_B": "forward", "FWD_D": "forward", "BWD_D": "input_grad", "BWD_W": "weight_grad"}

#: driver -> (the keys it takes, the algorithms it has, the directions that are run unless one is given)
DRIVERS: dict[str, tuple[str, tuple[str, ...], tuple[str, ...]]] = {
    "conv": ("mb g ic oc i o k s p d", (), ("FWD_B", "BWD_D", "BWD_W")),
    "deconv": ("mb g ic oc i o k s p d", (), ("FWD_B", "BWD_D", "BWD_W")),
    "upconv": ("mb ic oc i o k p u", (), ("FWD_B", "BWD_D", "BWD_W")),
    "resampling": ("mb ic i o", ("nearest", "linear", "fir"), ("FWD_D", "BWD_D")),
    "pool": ("mb ic i o k s p", ("max", "avg_p", "avg_np"), ("FWD_D", "BWD_D")),
    "bnorm": ("mb ic i", (), ("FWD_D", "BWD_D")),
    "ip": ("mb ic oc", (), ("FWD_B", "BWD_D", "BWD_W")),
}
_DTYPES = {"f32": "float32", "f64": "float64"}
_NO_BIAS = ("resampling", "pool", "bnorm")


class DescriptorError(ValueError):
    """A descriptor that cannot be read, with the place in it."""

    def __init__(self, text: str, column: int, message: str):
        self.text, self.column, self.reason = text, column, message
        super().__init__(f"{message}\n  {text}\n  {' ' * column}^ column {column + 1}")


@dataclass(frozen=True)
class Problem:
    """One operation on fixed shapes. Sizes are (height, width); stride, padding and dilation mean what PyTorch's do."""

    op: str
    mb: int
    ic: int
    oc: int
    image: tuple[int, int]
    output: tuple[int, int]
    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    scale: tuple[int, int] = (1, 1)
    groups: int = 1
    algorithm: str = ""
    direction: str = ""  # empty: all that the driver has
    dtype: str = "float32"
    name: str = ""

    @property
    def directions(self) -> tuple[str, ...]:
        """The passes that this descriptor asks for."""
        return (self.direction,) if self.direction else DRIVERS[self.op][2]

    def directed(self, direction: str) -> Problem:
        """The same problem for one pass."""
        return replace(self, direction=direction)

    def __str__(self) -> str:
        """The shortest descriptor that `parse` turns into this problem again."""
        words = [self.op]
        if self.direction:
            words.append(f"--dir={self.direction}")
        if self.dtype == "float64":
            words.append("--dt=f64")
        algorithms = DRIVERS[self.op][1]
        if algorithms and self.algorithm != algorithms[0]:
            words.append(f"--alg={self.algorithm}")
        keys = DRIVERS[self.op][0].split()
        text = f"mb{self.mb}" + (f"g{self.groups}" if self.groups > 1 else "") + f"ic{self.ic}"
        if "i" in keys:
            text += _both("i", self.image, None)
        if "oc" in keys:
            text += f"oc{self.oc}"
        if self.op in ("resampling", "pool"):
            text += _both("o", self.output, None)
        if "k" in keys:
            text += _both("k", self.kernel, None)
        text += _both("s", self.stride, (1, 1)) if "s" in keys else ""
        # The padding of a pool is written even when it is zero: with ih and oh given it would be computed.
        text += _both("p", self.padding, None if self.op == "pool" else (0, 0)) if "p" in keys else ""
        text += _both("d", (self.dilation[0] - 1, self.dilation[1] - 1), (0, 0)) if "d" in keys else ""
        text += _both("u", self.scale, (2, 2)) if "u" in keys else ""
        words.append(text)
        if self.name:
            words.append(f'n"{self.name}"')
        return " ".join(words)


def _both(letter: str, value: tuple[int, int], default: tuple[int, int] | None) -> str:
    if value == default:
        return ""
    return f"{letter}h{value[0]}" + (f"{letter}w{value[1]}" if value[0] != value[1] else "")


def parse(text: str) -> Problem:
    """Return the problem that a descriptor names; DescriptorError, a ValueError, marks the column that is wrong."""
    text = text.strip().removeprefix("--")  # benchdnn writes the driver as --conv
    match = re.match(r"[a-z]+", text)
    op = match[0] if match else ""
    if op not in DRIVERS:
        raise DescriptorError(text, 0, f"no driver {op or text[:1]!r}; there are {', '.join(DRIVERS)}")
    at = len(op)
    options = {"dir": "", "dt": "f32", "alg": (DRIVERS[op][1] or ("",))[0]}
    allowed = {"dir": tuple(DIRECTIONS), "dt": tuple(_DTYPES), "alg": DRIVERS[op][1]}
    while match := re.compile(r"\s+--(\w+)=(\S*)").match(text, at):
        option, value = match.groups()
        if option not in options:
            raise DescriptorError(text, match.start(1), f"no option --{option}; there are --dir, --dt and --alg")
        if value not in allowed[option]:
            choice = f"one of {', '.join(allowed[option])}" if allowed[option] else f"left out: {op} has one algorithm"
            raise DescriptorError(text, match.start(2), f"--{option} must be {choice}")
        options[option] = value
        at = match.end()
    if options["dir"] == "BWD_W" and op in _NO_BIAS:
        raise DescriptorError(text, text.index("BWD_W"), f"{op} has no weight gradient of its own: FWD_D or BWD_D")
    if options["dir"] == "FWD_B" and op in _NO_BIAS:
        raise DescriptorError(text, text.index("FWD_B"), f"{op} has no bias: FWD_D or BWD_D")
    sizes, columns, name = _dimensions(text, at, op)
    return _infer(text, op, sizes, columns, options, name)


def _dimensions(text: str, at: int, op: str) -> tuple[dict[str, int], dict[str, int], str]:
    """Read the keys and numbers from ``at`` on: {key: number}, {key: column} and the name."""
    allowed = [key if len(key) == 2 or key == "g" else key + axis for key in DRIVERS[op][0].split() for axis in "hw"]
    sizes: dict[str, int] = {}
    columns: dict[str, int] = {}
    at += len(text[at:]) - len(text[at:].lstrip())
    if at >= len(text):
        raise DescriptorError(text, len(text), f"dimensions are missing, such as mb64ic64ih32 ({op})")
    while at < len(text):
        if text[at] in "_ ":
            at += 1
            continue
        if match := re.compile(r'n(?:"([^"]*)"|(?=[^"\s])(\S+))\s*$').match(text, at):
            return sizes, columns, match[1] if match[1] is not None else match[2]
        match = re.compile(r"([a-z]+)(-?\d*)").match(text, at)
        if not match:
            raise DescriptorError(text, at, f"expected a key and a number, such as ic64, not {text[at]!r}")
        key, number = match.groups()
        if key not in allowed:
            takes = ", ".join(dict.fromkeys(allowed))
            raise DescriptorError(text, at, f'{op} has no dimension {key!r}; it takes {takes} and n"NAME"')
        if not number:
            raise DescriptorError(text, match.end(), f"{key} needs a whole number")
        if key in sizes:
            raise DescriptorError(text, at, f"{key} is given twice")
        smallest = 0 if key[0] in "pd" else 1
        if int(number) < smallest:
            raise DescriptorError(text, match.start(2), f"{key} must be at least {smallest}")
        sizes[key], columns[key] = int(number), at
        at = match.end()
    return sizes, columns, ""


def _infer(
    text: str, op: str, sizes: dict[str, int], columns: dict[str, int], options: dict[str, str], name: str
) -> Problem:
    """Compute what was not given, and check what was given against it."""
    keys = DRIVERS[op][0].split()

    def need(key: str) -> int:
        if key not in sizes:
            raise DescriptorError(text, len(text), f"{op} needs {key}")
        return sizes[key]

    def where(*names: str) -> int:
        return next((columns[key] for key in names if key in columns), len(text))

    for letter in "ioksdpu":  # one axis given: the other is equal
        for axis, other in ("hw", "wh"):
            if letter + axis not in sizes and letter + other in sizes:
                sizes[letter + axis] = sizes[letter + other]
    mb, ic, groups = sizes.get("mb", 2), need("ic"), sizes.get("g", 1)
    oc = need("oc") if "oc" in keys else ic
    for key, channels in (("ic", ic), ("oc", oc)):
        if channels % groups:
            raise DescriptorError(text, where("g"), f"{key}{channels} does not divide into g{groups} groups")
    found: dict[str, list[int]] = {letter: [] for letter in "iokspdu"}
    for axis in "hw":
        k, s, d, u = (
            (need if letter == "k" and "k" in keys else lambda key, default=default: sizes.get(key, default))(
                letter + axis
            )
            for letter, default in (("k", 1), ("s", 1), ("d", 0), ("u", 2 if op == "upconv" else 1))
        )
        reach = d * (k - 1) + k
        i, o, p = (sizes.get(letter + axis) for letter in "iop")
        if op == "ip":
            i = o = 1
        if i is None and (o is None or op in ("resampling", "bnorm")):
            need("i" + axis)
        if op == "resampling":
            o = need("o" + axis)
            if o % i:  # type: ignore[operator]
                message = f"o{axis}{o} is not a multiple of i{axis}{i}: only whole enlargements are there"
                raise DescriptorError(text, where("o" + axis, "oh", "ow"), message)
            u, p = o // i, 0  # type: ignore[operator]
        elif op in ("bnorm", "ip"):
            o, p = i, 0
        elif op == "deconv":
            i, o, p = _sizes_of_deconv(i, o, p, s, reach)
        else:
            i, o, p = _sizes_of_windows(i, o, p, s, reach, u)
        assert i is not None
        assert o is not None
        assert p is not None
        spot = where("i" + axis, "o" + axis, "ih", "oh", "iw", "ow")
        if p < 0:
            raise DescriptorError(text, spot, f"these sizes would need a negative padding p{axis}{p}")
        if i < 1 or o < 1:
            what, size = ("output", o) if o < 1 else ("input", i)
            raise DescriptorError(
                text,
                spot,
                f"the {what} would be empty (its {axis} is {size}): i{axis}{i} with k{axis}{k} d{axis}{d} p{axis}{p}",
            )
        expected = (
            (i - 1) * s - 2 * p + reach if op == "deconv" else (u * i + 2 * p - reach) // s + 1 if "k" in keys else o
        )
        if expected != o:
            spot = where("o" + axis, "oh", "ow")
            raise DescriptorError(text, spot, f"o{axis}{o} does not fit: with these dimensions it is {expected}")
        if op == "pool" and 2 * p > k:
            raise DescriptorError(text, where("p" + axis, "ph", "pw"), f"p{axis}{p} is more than half of k{axis}{k}")
        for letter, value in (("i", i), ("o", o), ("k", k), ("s", s), ("p", p), ("d", d + 1), ("u", u)):
            found[letter].append(value)
    image, output, kernel, stride, padding, dilation, scale = ((v[0], v[1]) for v in found.values())
    return Problem(
        op, mb, ic, oc, image, output, kernel, stride, padding, dilation, scale, groups,
        options["alg"], options["dir"], _DTYPES[options["dt"]], name,
    )  # fmt: skip


def _sizes_of_windows(
    i: int | None, o: int | None, p: int | None, s: int, reach: int, u: int
) -> tuple[int | None, int | None, int | None]:
    """Of conv, upconv and pool, along one axis: o = (u * i + 2 * p - reach) // s + 1."""
    if i is not None and o is not None and p is None:
        p = -(-((o - 1) * s + reach - u * i) // 2)
    p = 0 if p is None else p
    if i is None and o is not None:
        i = ((o - 1) * s + reach - 2 * p) // u
    if o is None and i is not None:
        o = (u * i + 2 * p - reach) // s + 1
    return i, o, p


def _sizes_of_deconv(
    i: int | None, o: int | None, p: int | None, s: int, reach: int
) -> tuple[int | None, int | None, int | None]:
    """Of deconv, along one axis: o = (i - 1) * s - 2 * p + reach."""
    if i is not None and o is not None and p is None:
        p = ((i - 1) * s + reach - o) // 2
    p = 0 if p is None else p
    if i is None and o is not None:
        i = (o + 2 * p - reach) // s + 1
    if o is None and i is not None:
        o = (i - 1) * s - 2 * p + reach
    return i, o, p


SHAPES = Path(__file__).parent / "shapes"


def read_shapes(path: str | Path) -> list[Problem]:
    """Return the problems of a shape file: a descriptor a line, ``#`` begins a comment.

    A name without a folder, such as ``workloads.txt``, is also looked for in ``benchmarks/shapes/``. Raises
    FileNotFoundError, or DescriptorError with the file and line.
    """
    path = Path(path)
    if not path.exists() and (SHAPES / path).exists():
        path = SHAPES / path
    if not path.exists():
        there = ", ".join(sorted(file.name for file in SHAPES.glob("*.txt")))
        raise FileNotFoundError(f"no shape file {path}; in {SHAPES.name}/ there are {there}")
    problems = []
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        line = line.partition("#")[0].strip()
        if line:
            try:
                problems.append(parse(line))
            except DescriptorError as error:
                raise DescriptorError(line, error.column, f"{path.name}:{number}: {error.reason}") from None
    return problems


def read_arguments(words: list[str]) -> list[Problem]:
    """Return the problems that command-line words name: ``@FILE``, a quoted descriptor, or the words of one."""
    problems: list[Problem] = []
    pending: list[str] = []
    for word in words:
        parts = shlex.split(word, posix=False)
        starts = bool(parts) and parts[0].removeprefix("--") in DRIVERS
        if (word.startswith("@") or starts) and pending:
            problems.append(parse(" ".join(pending)))
            pending = []
        if word.startswith("@"):
            problems += read_shapes(word[1:])
        else:
            pending.append(word)
    if pending:
        problems.append(parse(" ".join(pending)))
    return problems
