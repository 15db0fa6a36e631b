"""Result files: our JSON with every sample and its provenance, and google-benchmark's, which its compare.py reads."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from .ceilings import Ceilings
from .runner import Record

FORMAT = "scratchgan-benchmark/1"


class ResultError(ValueError):
    """A file that is no result of this benchmark; the text says what is wrong with it."""


@dataclass
class Results:
    """Everything that a run saw."""

    provenance: dict[str, Any]
    records: list[Record]
    ceilings: Ceilings | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)

    @property
    def timed(self) -> list[Record]:
        """The records that have samples."""
        return [record for record in self.records if record.samples]


def write_text(path: Path, text: str) -> None:
    """Write a file at once: whoever reads it finds the old text or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def save(path: Path, results: Results) -> None:
    """Write our JSON."""
    document = {
        "format": FORMAT,
        "provenance": results.provenance,
        "settings": results.settings,
        "ceilings": results.ceilings.as_dict() if results.ceilings else None,
        "skipped": results.skipped,
        "records": [record.as_dict() for record in results.records],
    }
    write_text(path, json.dumps(document, indent=None, separators=(",", ":")) + "\n")


def load(path: Path) -> Results:
    """Read our JSON; ResultError says what is wrong with the file."""
    try:
        document = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ResultError(f"{path}: {error.strerror}") from None
    except ValueError as error:
        raise ResultError(f"{path} is not JSON: {error}") from None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        found = document.get("format") if isinstance(document, dict) else type(document).__name__
        raise ResultError(f"{path} is no result of this benchmark: its format is {found!r}, not {FORMAT!r}")
    try:
        known = {f.name for f in fields(Record)}
        records = [Record(**{k: v for k, v in entry.items() if k in known}) for entry in document["records"]]
        ceilings = Ceilings(**document["ceilings"]) if document["ceilings"] else None
        return Results(document["provenance"], records, ceilings, document["settings"], document["skipped"])
    except (KeyError, TypeError, AttributeError) as error:
        raise ResultError(f"{path}: a part of the result is missing or of the wrong kind: {error}") from None


def google_benchmark(results: Results) -> dict[str, Any]:
    """Return the results as google-benchmark's JSON: each sample a repetition, then their aggregates."""
    machine = results.provenance
    benchmarks: list[dict[str, Any]] = []
    for family, record in enumerate(results.timed):
        name = f"{record.title}/{record.passed}/{record.implementation}"
        common = {
            "family_index": family, "per_family_instance_index": 0, "run_name": name, "threads": machine["threads"],
            "repetitions": len(record.samples),
        }  # fmt: skip
        for index, seconds in enumerate(record.samples):
            benchmarks.append(
                {
                    "name": name, **common, "run_type": "iteration", "repetition_index": index,
                    "iterations": record.calls, "real_time": seconds * 1e9, "cpu_time": seconds * 1e9,
                    "time_unit": "ns",
                }
            )  # fmt: skip
        summary = record.summary
        for aggregate, seconds in (("median", summary.median), ("min", summary.least)):
            benchmarks.append(
                {
                    "name": f"{name}_{aggregate}", **common, "run_type": "aggregate", "aggregate_name": aggregate,
                    "aggregate_unit": "time", "iterations": len(record.samples), "real_time": seconds * 1e9,
                    "cpu_time": seconds * 1e9, "time_unit": "ns",
                }
            )  # fmt: skip
    context = {
        "date": machine.get("date"), "executable": "python -m benchmarks", "num_cpus": machine.get("cores"),
        "mhz_per_cpu": round(machine.get("clock_mhz") or 0), "cpu_scaling_enabled": machine.get("governor") is not None,
        "caches": [], "load_avg": machine.get("load_average") or [], "library_version": FORMAT,
        "library_build_type": "release", "json_schema_version": 1,
    }  # fmt: skip
    return {"context": context, "benchmarks": benchmarks}


def save_google_benchmark(path: Path, results: Results) -> None:
    """Write google-benchmark's JSON."""
    write_text(path, json.dumps(google_benchmark(results), indent=1) + "\n")


def by_pass(records: Iterable[Record]) -> dict[tuple[str, str, str], list[Record]]:
    """Group records by (layer, pass, cache), in order."""
    groups: dict[tuple[str, str, str], list[Record]] = {}
    for record in records:
        groups.setdefault((record.title, record.direction, record.cache), []).append(record)
    return groups


def ours(records: Iterable[Record]) -> Record | None:
    """The record of our public function in a group, if it was timed."""
    return next((r for r in records if r.implementation in ("ours", "ours-cuda") and r.samples), None)


def best_of(records: Iterable[Record], family: str) -> Record | None:
    """The fastest timed record of a family, such as pytorch: its best layout."""
    found = [r for r in records if r.implementation.partition(":")[0] == family and r.samples]
    return min(found, key=lambda record: record.summary.median, default=None)
