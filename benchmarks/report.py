"""One HTML page with everything in it: it opens offline, prints, and can be sent as a file."""

from __future__ import annotations

from html import escape
from pathlib import Path

from . import charts, tables
from .results import Results, write_text
from .runner import Record

_STYLE = """
body { font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; color: #1f2933;
       max-width: 1000px; margin: 2rem auto; padding: 0 1rem; background: white; }
h1 { font-size: 1.6rem; margin: 0 0 .3rem; } h2 { font-size: 1.15rem; margin: 2.4rem 0 .4rem; }
p.note, li.note { color: #52606d; font-size: .9rem; } svg { width: 100%; height: auto; }
.figures { display: flex; flex-wrap: wrap; gap: 1rem; margin: 1rem 0; }
.figure { border: 1px solid #d9e0e8; border-radius: 6px; padding: .6rem 1rem; }
.figure b { display: block; font-size: 1.7rem; color: #0072B2; line-height: 1.2; } .figure.slow b { color: #D55E00; }
table { border-collapse: collapse; font-size: .82rem; font-variant-numeric: tabular-nums; width: 100%; }
th, td { padding: .18rem .5rem; text-align: right; border-bottom: 1px solid #e3e8ee; white-space: nowrap; }
th { position: sticky; top: 0; background: white; } th:nth-child(-n+3), td:nth-child(-n+3) { text-align: left; }
td:last-child { text-align: left; white-space: normal; color: #b3400a; } .scroll { overflow-x: auto; }
tr.ours td { font-weight: 600; } code { font-size: .85em; }
@media print { h2 { break-after: avoid; } svg { break-inside: avoid; } }
"""


def html(results: Results) -> str:
    """Return the page."""
    names = list(dict.fromkeys(record.implementation for record in results.timed))
    colours = charts.palette(names)
    parts = [f"<h1>Kernel benchmark</h1>{_paragraphs(tables.header_lines(results))}", _figures(results)]
    rivals = sorted(tables.rivals(results), key=lambda rival: rival != "pytorch")
    for rival in rivals[:1]:
        rows = tables.ratio_rows(results, rival)
        if rows:
            parts.append(
                f"<h2>Ours against {escape(rival)}</h2><p class=note>Its fastest layout counts. A whisker that "
                f"crosses 1 means that neither is shown to be faster.</p>{charts.ratios(rows, rival)}"
            )
    if results.ceilings and (drawing := charts.roofline(results.timed, results.ceilings, colours)):
        parts.append(
            "<h2>Roofline</h2><p class=note>Both ceilings were measured in this run. FLOPs are those of the definition "
            "and bytes those of each array once: an algorithm that saves multiplications can pass the roof, and data "
            f"that stays in a cache can pass the slope.</p>{drawing}"
        )
    if drawing := charts.bars(results.timed, colours):
        parts.append(f"<h2>Speed by layer</h2><p class=note>Medians.</p>{drawing}")
    failed = [record for record in results.records if record.verdict in ("FAILED", "MISTRUSTED")]
    if failed or results.skipped:
        items = [f"<li>{escape(line)}</li>" for line in results.skipped]
        items += [
            f"<li>{r.verdict}: {escape(r.implementation)}, {escape(r.reason)}<br><code>{escape(r.repeat)}</code></li>"
            for r in failed
        ]
        parts.append(f"<h2>What did not pass, and what was skipped</h2><ul>{''.join(items)}</ul>")
    parts.append(f"<h2>Every figure</h2><div class=scroll>{_table(results)}</div>")
    parts.append(
        "<p class=note>ms: median of n samples, with quartiles and minimum. compile: what the first call took beyond "
        "that. % roof: the least time that the ceilings allow, over the median.</p>"
    )
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<title>Kernel benchmark, {escape(results.provenance['date'])}</title><style>{_STYLE}</style>{''.join(parts)}"
        "</html>\n"
    )


def write(path: Path, results: Results) -> None:
    """Write the page."""
    write_text(path, html(results))


def _paragraphs(lines: list[str]) -> str:
    return "".join(f"<p class=note>{escape(line)}</p>" for line in lines)


def _figures(results: Results) -> str:
    """The ratios' means, as large numbers."""
    boxes = []
    for rival in tables.rivals(results):
        ratios = [row[3] for row in tables.ratio_rows(results, rival)]
        if ratios:
            mean = tables.statistics.geometric_mean(ratios)
            boxes.append(
                f"<div class='figure{' slow' if mean < 1 else ''}'><b>{mean:.2f} x</b>the speed of {escape(rival)}<br>"
                f"<span class=note>{min(ratios):.2f} to {max(ratios):.2f} over {len(ratios)} passes</span></div>"
            )
    return f"<div class=figures>{''.join(boxes)}</div>"


def _table(results: Results) -> str:
    def line(record: Record) -> str:
        cells = "".join(f"<td>{escape(cell)}</td>" for cell in tables.row(record, results.ceilings))
        return f"<tr{' class=ours' if record.implementation == 'ours' else ''}>{cells}</tr>"

    head = "".join(f"<th>{escape(cell)}</th>" for cell in tables.HEADER)
    shown = [record for record in results.records if record.verdict != "UNIMPLEMENTED"]
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(map(line, shown))}</tbody></table>"
