"""The results of `benchmarks.gpu_session` as a page: device and versions, the table of aims, and every figure."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable
from typing import Any

Report = dict[str, Any]


def markdown(report: Report) -> str:
    """Return the whole page. A part that is missing, failed or was skipped says so."""
    versions = ", ".join(f"{name} {version}" for name, version in report["versions"].items())
    lines = [f"# {report['device']}", "", f"Commit {report['commit']}; {versions}.", "", "## Aims", ""]
    lines += _table(("work", "aim", "measured"), _aims(report))
    for part, record in report.items():
        if isinstance(record, dict) and "wall_seconds" in record:
            lines += ["", f"## {part}: {record.get('outcome', 'done')}, {record['wall_seconds']:.0f} s", ""]
            lines += _PARTS[part](record)
    return "\n".join(lines).rstrip() + "\n"


def _table(head: Iterable[str], rows: Iterable[Iterable[Any]]) -> list[str]:
    def line(cells: Iterable[Any]) -> str:
        return "| " + " | ".join(map(str, cells)) + " |"

    head = list(head)
    return [line(head), line("---" for _ in head), *map(line, rows)]


def _aims(report: Report) -> list[tuple[str, str, str]]:
    """The table of what is to be reached; ratios are PyTorch's time over ours, geometric means, caches cold."""
    records = report.get("table", {}).get("convolution", [])

    def ratio(kinds: tuple[str, ...], precision: str) -> str:
        found = [
            r["ratio"]["cold"] for r in records if r["kind"] in kinds and r["precision"] == precision and "ratio" in r
        ]
        return f"{math.exp(statistics.fmean(map(math.log, found))):.2f} ({len(found)} figures)" if found else "-"

    shares = [r["share_of_copy"] for r in report.get("table", {}).get("memory", [])]
    rows = [
        ("convolution layers, float32", ">= 0.9", ratio(("conv", "transpose"), "float32")),
        ("the same, TF32 on both sides", ">= 0.6", ratio(("conv", "transpose"), "tf32")),
        ("upsample + convolution, float32", ">= 1.5", ratio(("upsample",), "float32")),
        ("bound by memory, of the copy's rate", ">= 80%", f"{min(shares):.0%} to {max(shares):.0%}" if shares else "-"),
    ]
    for record in report.get("steps", {}).get("gan_step", []):
        measured = f"{record['ratio']['cuda graph']:.2f}" if "ratio" in record else "-"
        rows.append((f"GAN step {record['network']}, CUDA graph over eager PyTorch", ">= 1.5", measured))
    return rows


def _compile(record: Report) -> list[str]:
    lines = [f"{record.get('programs', 0)} programs; {record.get('late', 0)} not done in time."]
    return [*lines, *(f"```\n{error}\n```" for error in record.get("errors", []))]


def _tests(record: Report) -> list[str]:
    return ["```", *record.get("output", "").strip().splitlines()[-15:], "```"]


def _steps(record: Report) -> list[str]:
    rows = [
        (r["network"], r["batch"], *(f"{r[how] * 1e3:.2f}" if how in r else "-" for how in _HOW))
        for r in record.get("gan_step", [])
    ]
    return _table(("network", "batch", *(f"{how}, ms" for how in _HOW)), rows)


_HOW = ("plain", "cuda graph", "pytorch")


def _kernels(record: Report) -> list[str]:
    memory = [
        (
            r["kernel"],
            f"{r['seconds'] * 1e6:.1f}",
            f"{r['bytes'] / r['seconds'] / 1e9:.0f}",
            f"{r['share_of_copy']:.0%}",
        )
        for r in record.get("memory", [])
    ]
    layers = [
        (r["layer"], r["pass"], r["precision"], *(f"{r['seconds'][how] * 1e6:.1f}" for how in ("cold", "warm")),
         *(f"{r['ratio'][how]:.2f}" if "ratio" in r else "-" for how in ("cold", "warm")))
        for r in record.get("convolution", [])
    ]  # fmt: skip
    head = ("layer", "pass", "precision", "cold, us", "warm, us", "ratio cold", "ratio warm")
    return [*_table(("kernel", "us", "GB/s", "of the copy"), memory), "", *_table(head, layers)]


def _train(record: Report) -> list[str]:
    rows = []
    for device in ("cuda", "cpu"):
        run = record.get(device, {})
        last = (run.get("curve") or [{}])[-1]
        best = min((point["fid"] for point in run.get("curve", []) if "fid" in point), default=None)
        seconds = f"{last['seconds']:.0f}" if last else "-"
        rows.append(
            (device, run.get("steps", 0), seconds, "-" if best is None else f"{best:.1f}", run.get("outcome", "-"))
        )
    lines = _table((f"{record.get('data', '')} on", "steps", "seconds", "best FID", "outcome"), rows)
    same = record.get("same_quality")
    if same:
        gpu = "not reached" if same["cuda_seconds"] is None else f"{same['cuda_seconds']:.1f} s"
        lines += ["", f"To FID {same['fid']:.1f}: {same['cpu_seconds']:.0f} s on the CPU, {gpu} on the GPU."]
    return lines


def _sanitizer(record: Report) -> list[str]:
    return [f"- {check}: {found['outcome']}" for check, found in record.items() if isinstance(found, dict)]


_PARTS = {
    "compile": _compile,
    "tests": _tests,
    "steps": _steps,
    "table": _kernels,
    "train": _train,
    "sanitizer": _sanitizer,
}
