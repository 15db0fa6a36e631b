"""Tables: aligned text for the terminal, Markdown for pull requests."""

from __future__ import annotations

from collections.abc import Sequence

from . import statistics
from .ceilings import Ceilings
from .correctness import PASSED
from .results import Results, best_of, by_pass, ours
from .runner import UNCHECKED, Record

HEADER = ("layer", "pass", "implementation", "ms", "q1..q3", "min", "n", "compile s", "GFLOP/s", "GB/s", "% roof", "")


def milliseconds(seconds: float) -> str:
    """Three digits or so."""
    value = seconds * 1e3
    return f"{value:.3f}" if value < 1 else f"{value:.2f}" if value < 100 else f"{value:.0f}"


def row(record: Record, ceilings: Ceilings | None) -> tuple[str, ...]:
    """One line of the table. The last column says what is not as it should be."""
    layer = (record.title, record.passed, record.implementation)
    remark = "" if record.verdict in (PASSED, UNCHECKED) else record.verdict
    if not record.samples:
        return (*layer, *("-",) * 8, remark or record.verdict)
    s = record.summary
    if record.warning:
        remark = f"{remark} unstable: {record.warning}".strip()
    return (
        *layer,
        milliseconds(s.median),
        f"{milliseconds(s.lower)}..{milliseconds(s.upper)}",
        milliseconds(s.least),
        str(s.n),
        f"{record.compile_seconds:.2f}",
        f"{record.gflops:.1f}" if record.flops else "-",
        f"{record.gbytes:.1f}",
        f"{record.of_roofline(ceilings):.0%}" if ceilings and record.dtype == ceilings.dtype else "-",
        remark,
    )


def text(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Align columns: text to the left, numbers to the right."""
    widths = [max(len(line[i]) for line in (header, *rows)) for i in range(len(header))]
    left = [i < 3 or i == len(header) - 1 for i in range(len(header))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if to_left else cell.rjust(width)
            for cell, width, to_left in zip(line, widths, left, strict=True)
        ).rstrip()
        for line in (header, *rows)
    )


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table for a pull request."""
    lines = ["| " + " | ".join(header) + " |", "|" + "|".join(["---"] * 3 + ["---:"] * (len(header) - 3)) + "|"]
    return "\n".join(lines + ["| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |" for cells in rows])


def rivals(results: Results) -> list[str]:
    """The families that ours was timed beside, in the order in which they appear."""
    families = [record.implementation.partition(":")[0] for record in results.timed]
    return list(dict.fromkeys(family for family in families if not family.startswith("ours")))


def ratio_rows(results: Results, rival: str) -> list[tuple[str, str, str, float, float, float]]:
    """(layer, pass, the rival's fastest, how many times faster ours is, low, high) for each pass that both have."""
    rows = []
    for records in by_pass(results.records).values():
        mine, other = ours(records), best_of(records, rival)
        if mine and other:
            interval = statistics.paired_ratio(other.by_visit, mine.by_visit)
            rows.append((mine.title, mine.passed, other.implementation, *interval))
    return rows


def summary_lines(results: Results) -> list[str]:
    """A line for each rival: the geometric mean of the ratios, the least and the greatest."""
    lines = []
    for rival in rivals(results):
        ratios = [r[3] for r in ratio_rows(results, rival)]
        if ratios:
            mean = statistics.geometric_mean(ratios)
            lines.append(
                f"ours against {rival}: {mean:.2f} times as fast (geometric mean of {len(ratios)} passes, "
                f"{min(ratios):.2f} to {max(ratios):.2f})"
            )
    return lines


def verdict_lines(records: Sequence[Record]) -> list[str]:
    """What did not pass, each with the command that repeats it; then the count of each verdict."""
    lines, counts = [], {}
    for record in records:
        counts[record.verdict] = counts.get(record.verdict, 0) + 1
        if record.verdict in ("FAILED", "MISTRUSTED"):
            lines += [
                f"{record.verdict}: {record.implementation} {record.problem}: {record.reason}",
                f"    {record.repeat}",
            ]
    return [*lines, ", ".join(f"{count} {verdict}" for verdict, count in counts.items())]


def header_lines(results: Results) -> list[str]:
    """The machine and the ceilings."""
    p = results.provenance
    changed = " with uncommitted changes" if p.get("uncommitted") else ""
    lines = [
        f"{p['cpu']}, {p['threads']} of {p['cores']} processors, vectors {p.get('vector_unit')}; "
        f"commit {(p.get('commit') or 'unknown')[:12]}{changed}; {p['date']}",
        "versions: " + ", ".join(f"{name} {version}" for name, version in p["versions"].items()),
    ]
    if results.ceilings:
        c = results.ceilings
        lines.append(
            f"ceilings, measured: {c.gflops:.0f} GFLOP/s ({c.dtype}, multiply-add), {c.gbytes:.1f} GB/s (triad)"
        )
    return lines


def full_markdown(results: Results) -> str:
    """The whole result as Markdown."""
    parts = ["\n".join(f"- {line}" for line in header_lines(results) + results.skipped)]
    lines = summary_lines(results)
    if lines:
        parts.append("\n".join(f"- **{line}**" for line in lines))
    parts.append(
        markdown(
            HEADER, [row(record, results.ceilings) for record in results.records if record.verdict != "UNIMPLEMENTED"]
        )
    )
    for rival in rivals(results):
        rows = [
            (layer, name, other, f"{ratio:.2f}", f"{low:.2f} to {high:.2f}")
            for layer, name, other, ratio, low, high in ratio_rows(results, rival)
        ]
        if rows:
            parts.append(markdown(("layer", "pass", f"best of {rival}", "its time / ours", "99 % interval"), rows))
    return "\n\n".join(parts) + "\n"
