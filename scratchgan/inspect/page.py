"""The page: one HTML file that holds its scripts, its style and its data, and loads nothing.

It is put together from the files of ``page/`` by joining them. The data stand in a script of type application/json with
every ``<`` escaped, and the page writes them as text nodes only, so nothing that a recorded program is called, or
contains, can become markup.
"""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any

from .exercises import course
from .write import write_whole

#: The scripts in the order in which they build on each other.
SCRIPTS = (
    "data.js", "format.js", "arrays.js", "layout.js", "graph.js", "element.js", "node.js", "leaf.js", "tape.js",
    "health.js", "game.js", "numpy.js", "ninja.js", "compare.js", "main.js",
)  # fmt: skip
_BEGIN, _END = '<script type="application/json" id="recording">', "</script>"


class PageError(ValueError):
    """A file is no page of a recording; the message says why."""


def page(document: dict[str, Any]) -> str:
    """Return the HTML of a recording's document."""
    files = resources.files(__package__) / "page"
    html = (files / "page.html").read_text("utf-8")
    scripts = "\n".join(f"// {name}\n" + (files / name).read_text("utf-8") for name in SCRIPTS)
    parts = {
        "STYLE": (files / "style.css").read_text("utf-8"),
        "SCRIPTS": scripts,
        "RECORDING": _embedded(document),
        "EXERCISES": _embedded(course()),
    }
    for name, text in parts.items():
        before, found, after = html.partition(f"@{name}@")
        assert found, f"page.html has no place for {name}"
        html = before + text + after
    return html


def _embedded(data: Any) -> str:
    text = json.dumps(data, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    # In a script only "<" could end it; the others would only confuse tools that read lines. A lone half of a
    # surrogate pair, as in a file name that is no UTF-8, cannot be written otherwise.
    escaped = text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    return escaped.encode("utf-8", "backslashreplace").decode("utf-8")


def write_page(path: Path, document: dict[str, Any]) -> Path:
    """Write the page of a document. Raises OSError, and then an older file of that name is as it was."""
    write_whole(path, page(document).encode("utf-8"))
    return path


def read_page(path: Path) -> dict[str, Any]:
    """Return the document in a page that `write_page` wrote. Raises OSError, or PageError if it is no such page."""
    text = path.read_text("utf-8", errors="replace")
    _, found, rest = text.partition(_BEGIN)
    data, end, _ = rest.partition(_END)
    if not found or not end:
        raise PageError(f"{path} is no page of a recording: `scratchgan inspect PROGRAM --out {path}` writes one")
    try:
        document = json.loads(data)
        known = document["format"]
    except (ValueError, KeyError, TypeError) as error:
        raise PageError(f"{path} is a damaged page ({error}): write it again") from error
    from .document import FORMAT

    if known != FORMAT:
        raise PageError(f"{path} was written in format {known}, and this is format {FORMAT}: write it again")
    return document
