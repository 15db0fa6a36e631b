"""The three charts of the report as SVG: roofline, bars by layer, ratios with their intervals.

Colours are Okabe and Ito's, which those who see red and green alike can tell apart; our own is always the first, and
every mark also differs in shape or place.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from .ceilings import Ceilings
from .results import by_pass
from .runner import Record

OURS = "#0072B2"
PATHS = ("#7FB2D6", "#B8D4E8")
OTHERS = ("#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#8C8C8C", "#B8A800")
_INK, _GRID, _FAINT = "#1f2933", "#e3e8ee", "#6b7785"
WIDTH = 960


def palette(names: Sequence[str]) -> dict[str, str]:
    """A colour for each implementation: ours blue, its paths paler, the rest in turn."""
    colours: dict[str, str] = {}
    paths = [name for name in names if name.startswith("ours:")]
    rest = [name for name in names if not name.startswith("ours")]
    for name in names:
        if name in paths:
            colours[name] = PATHS[paths.index(name) % len(PATHS)]
        elif name.startswith("ours"):
            colours[name] = OURS
        else:
            colours[name] = OTHERS[rest.index(name) % len(OTHERS)]
    return colours


class _Drawing:
    """Collects SVG elements; positions are pixels."""

    def __init__(self, width: float, height: float, title: str):
        self.width, self.height, self.title = width, height, title
        self.parts: list[str] = []

    def line(
        self, x1: float, y1: float, x2: float, y2: float, colour: str = _GRID, width: float = 1, dash: str = ""
    ) -> None:
        more = f' stroke-dasharray="{dash}"' if dash else ""
        self.parts.append(
            f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" '
            f'stroke-width="{width}"{more}/>'
        )

    def text(
        self, x: float, y: float, words: str, size: float = 12, anchor: str = "start", colour: str = _INK,
        bold: bool = False, turn: float = 0,
    ) -> None:  # fmt: skip
        # A white edge keeps bold labels readable where they lie on marks.
        more = ' font-weight="600" paint-order="stroke" stroke="white" stroke-width="4"' if bold else ""
        more += f' transform="rotate({turn} {x:.1f} {y:.1f})"' if turn else ""
        self.parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" fill="{colour}"{more}>'
            f"{escape(words)}</text>"
        )

    def rectangle(self, x: float, y: float, width: float, height: float, colour: str, hint: str = "") -> None:
        self.parts.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 0.5):.1f}" height="{height:.1f}" fill="{colour}">'
            f"<title>{escape(hint)}</title></rect>"
        )

    def mark(self, x: float, y: float, shape: str, colour: str, hint: str = "", radius: float = 4.5) -> None:
        tip = f"<title>{escape(hint)}</title>"
        style = f'fill="{colour}" fill-opacity="0.85" stroke="white" stroke-width="0.8"'
        r = radius
        if shape == "forward":
            self.parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{r}" {style}>{tip}</circle>')
        elif shape == "input_grad":
            points = f"{x:.1f},{y - r:.1f} {x - r:.1f},{y + r:.1f} {x + r:.1f},{y + r:.1f}"
            self.parts.append(f'<polygon points="{points}" {style}>{tip}</polygon>')
        else:
            self.parts.append(
                f'<rect x="{x - r:.1f}" y="{y - r:.1f}" width="{2 * r}" height="{2 * r}" {style}>{tip}</rect>'
            )

    def legend(self, x: float, y: float, colours: dict[str, str]) -> None:
        """Swatches in rows that wrap."""
        at = x
        for name, colour in colours.items():
            width = 20 + 7 * len(name) + 14
            if at + width > self.width - 8:
                at, y = x, y + 18
            self.rectangle(at, y - 9, 11, 11, colour)
            self.text(at + 16, y, name)
            at += width

    def finish(self) -> str:
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width:.0f} {self.height:.0f}" role="img" '
            f'aria-label="{escape(self.title)}" '
            'font-family="system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif">'
            f'<rect width="100%" height="100%" fill="white"/>{"".join(self.parts)}</svg>'
        )


def _legend_rows(colours: dict[str, str], width: float) -> int:
    rows, at = 1, 0.0
    for name in colours:
        own = 34 + 7 * len(name)
        if at + own > width:
            rows, at = rows + 1, 0.0
        at += own
    return rows


def _powers(low: float, high: float) -> list[float]:
    """1, 2, 5, 10, ... that span low to high."""
    ticks = [
        m * 10.0**e for e in range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1) for m in (1, 2, 5)
    ]
    below = max(t for t in ticks if t <= low * 1.0001)
    return [t for t in ticks if below <= t <= max(high, below * 2) * 1.0001]


def roofline(records: Sequence[Record], ceilings: Ceilings, colours: dict[str, str]) -> str:
    """GFLOP/s against FLOPs per byte, on logarithmic axes, under the measured ceilings."""
    points = [r for r in records if r.samples and r.flops and r.dtype == ceilings.dtype]
    if not points:
        return ""
    top = 40 + 18 * _legend_rows(colours, WIDTH - 70)
    height, left, right, bottom = 520, 64, 20, 52
    d = _Drawing(WIDTH, height, "Roofline")
    intensity = [r.flops / r.bytes for r in points]
    xs = _powers(min(*intensity, ceilings.gflops / ceilings.gbytes / 2), max(intensity) * 1.4)
    fastest, slowest = max(ceilings.gflops, *(r.gflops for r in points)), min(r.gflops for r in points)
    ys = _powers(max(slowest / 1.2, fastest / 3000), fastest * 1.3)
    x0, x1, y1 = xs[0], max(xs[-1], max(intensity) * 1.4), max(ys[-1], fastest * 1.3)
    strip = 92 / (height - top - bottom)  # of the height, below all marks: for the names of layers
    y0 = ys[0] / (y1 / ys[0]) ** (strip / (1 - strip))

    def x(value: float) -> float:
        return left + (WIDTH - left - right) * math.log(value / x0) / math.log(x1 / x0)

    def y(value: float) -> float:
        return height - bottom - (height - top - bottom) * math.log(max(value, y0) / y0) / math.log(y1 / y0)

    for tick in xs:
        d.line(x(tick), top, x(tick), height - bottom)
        d.text(x(tick), height - bottom + 18, f"{tick:g}", 12, "middle", _FAINT)
    for tick in ys:
        d.line(left, y(tick), WIDTH - right, y(tick))
        d.text(left - 8, y(tick) + 4, f"{tick:g}", 12, "end", _FAINT)
    knee = ceilings.gflops / ceilings.gbytes
    start = max(x0, y0 / ceilings.gbytes)
    d.line(x(start), y(start * ceilings.gbytes), x(knee), y(ceilings.gflops), _INK, 2)
    d.line(x(knee), y(ceilings.gflops), WIDTH - right, y(ceilings.gflops), _INK, 2)
    slope = math.degrees(math.atan2(y(y0) - y(10 * y0), x(10) - x(1)))
    middle = math.sqrt(start * knee)
    for record in sorted(points, key=lambda r: r.implementation == "ours"):
        hint = f"{record.title} {record.passed}, {record.implementation}: {record.gflops:.1f} GFLOP/s"
        at = record.flops / record.bytes
        d.mark(x(at), y(record.gflops), record.passed, colours[record.implementation], hint)
    d.text(
        x(middle) - 6,
        y(middle * ceilings.gbytes) - 8,
        f"{ceilings.gbytes:.0f} GB/s, triad",
        12,
        "middle",
        bold=True,
        turn=-slope,
    )
    named: list[float] = []
    for record in points:
        at = x(record.flops / record.bytes)
        if record.passed == "forward" and all(abs(at - other) > 12 for other in named):
            named.append(at)
            d.text(at + 4, height - bottom - 6, _short(record.title, 16), 10, colour=_FAINT, turn=-90)
    roof = f"{ceilings.gflops:.0f} GFLOP/s, multiply-adds"
    d.text(x(knee) + 6, y(ceilings.gflops) - 8, roof, 12, bold=True)
    d.text((left + WIDTH - right) / 2, height - 12, "FLOPs per byte that must be moved", 13, "middle")
    d.text(16, (top + height - bottom) / 2, "GFLOP/s", 13, "middle", turn=-90)
    for index, name in enumerate(("forward", "input_grad", "weight_grad")):
        d.mark(left + 8 + 110 * index, 14, name, _FAINT)
        d.text(left + 18 + 110 * index, 18, name.replace("_", " "))
    d.legend(left + 2, 40, colours)
    return d.finish()


def bars(records: Sequence[Record], colours: dict[str, str]) -> str:
    """Speed of every implementation, layer by layer: GFLOP/s, or GB/s where a pass is bound by memory."""
    groups = {key: [r for r in group if r.samples] for key, group in by_pass(records).items()}
    groups = {key: group for key, group in groups.items() if group}
    if not groups:
        return ""
    top = 26 + 18 * _legend_rows(colours, WIDTH - 170)
    bar, gap, left, right = 11, 12, 168, 92
    height = top + sum(bar * len(group) + gap for group in groups.values()) + 34
    d = _Drawing(WIDTH, height, "Speed by layer and implementation")
    most = {
        True: max((r.gflops for g in groups.values() for r in g if r.flops), default=1),
        False: max((r.gbytes for g in groups.values() for r in g if not r.flops), default=1),
    }
    at: float = top
    for (title, _, _), group in groups.items():
        counted = bool(group[0].flops)
        d.text(
            left - 10,
            at + bar * len(group) / 2 + 4,
            f"{_short(title, 14)} {group[0].passed.replace('_', ' ')}",
            11.5,
            "end",
        )
        for record in group:
            speed = record.gflops if counted else record.gbytes
            unit = "GFLOP/s" if counted else "GB/s"
            length = (WIDTH - left - right) * speed / most[counted]
            d.rectangle(
                left,
                at,
                length,
                bar - 2,
                colours[record.implementation],
                f"{record.implementation}: {speed:.1f} {unit}",
            )
            d.text(
                left + length + 4, at + bar - 3, f"{speed:.0f}" if speed >= 10 else f"{speed:.2g}", 9.5, colour=_FAINT
            )
            at += bar
        d.text(WIDTH - 8, at - bar * len(group) / 2 + 4, "GFLOP/s" if counted else "GB/s", 10, "end", _FAINT)
        at += gap
    d.line(left, top - 4, left, at - gap + 4, _INK)
    d.legend(left, 20, colours)
    return d.finish()


def ratios(rows: Sequence[tuple[str, str, str, float, float, float]], rival: str) -> str:
    """How many times faster ours is than the best of a rival, with the 99 % interval, on a logarithmic axis."""
    if not rows:
        return ""
    step, top, left, right, bottom = 19, 34, 190, 70, 48
    height = top + step * len(rows) + bottom
    d = _Drawing(WIDTH, height, f"Ours against {rival}")
    lows, highs = [r[4] for r in rows], [r[5] for r in rows]
    x0, x1 = min(0.8, *lows) / 1.1, max(1.25, *highs) * 1.1

    def x(value: float) -> float:
        return left + (WIDTH - left - right) * math.log(value / x0) / math.log(x1 / x0)

    d.rectangle(x(1), top - 8, WIDTH - right - x(1), height - top - bottom + 10, "#f0f6fb")
    for tick in (0.1, 0.2, 0.33, 0.5, 0.7, 1, 1.4, 2, 3, 5, 7, 10, 20, 50):
        if x0 <= tick <= x1:
            d.line(
                x(tick), top - 8, x(tick), height - bottom + 2, _INK if tick == 1 else _GRID, 1.5 if tick == 1 else 1
            )
            d.text(x(tick), height - bottom + 18, f"{tick:g}", 12, "middle", _FAINT)
    d.text(x(1) + 8, top - 14, "ours is faster →", 12, colour=OURS, bold=True)
    d.text(x(1) - 8, top - 14, f"← {rival} is faster", 12, "end", _FAINT)
    for index, (layer, name, other, ratio, low, high) in enumerate(rows):
        y = top + step * index + 6
        colour = OURS if low > 1 else "#D55E00" if high < 1 else _FAINT
        d.text(left - 10, y + 4, f"{_short(layer, 16)} {name.replace('_', ' ')}", 11.5, "end")
        d.line(x(low), y, x(high), y, colour, 2.5)
        d.line(x(low), y - 4, x(low), y + 4, colour, 1.5)
        d.line(x(high), y - 4, x(high), y + 4, colour, 1.5)
        d.mark(x(ratio), y, name, colour, f"{layer} {name}: {ratio:.2f} ({low:.2f} to {high:.2f}) against {other}")
        d.text(WIDTH - right + 10, y + 4, f"{ratio:.2f}", 11.5)
    d.text(
        (left + WIDTH - right) / 2,
        height - 10,
        f"time of the best of {rival} / time of ours, 99 % interval",
        13,
        "middle",
    )
    return d.finish()


def _short(title: str, most: int) -> str:
    return title if len(title) <= most else title[: most - 1] + "…"
