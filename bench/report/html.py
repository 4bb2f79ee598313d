"""The page: one HTML file with its style, its script and its data, which asks the network for nothing.

Names of methods may be anybody's. They reach the page as JSON in which nothing ends the block, and are shown as text
alone; should one get further, the policy in the page's head lets no other script run.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from bench.report.data import finite

FILES = files("bench.report") / "page"
SCRIPTS = (
    *("dom.js", "charts.js", "table.js", "rows.js"),
    *("leaderboard.js", "plots.js", "duel.js", "manifests.js", "page.js"),
)
"""In this order they are one module."""
ESCAPES = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"})
"""What could end a script block or a line of one, as JSON may write it in its strings."""


def page(data: Mapping[str, Any]) -> str:
    """The page of a report's data; the same data are the same bytes."""
    style = _read("page.css")
    script = "\n".join(_read(name) for name in SCRIPTS)
    parts = {
        "title": html.escape(_title(data)),
        "policy": f"default-src 'none'; style-src '{_digest(style)}'; script-src '{_digest(script)}'; img-src data:; "
        "base-uri 'none'; form-action 'none'",
        "style": style,
        "data": block(data),
        "script": script,
    }
    text = _read("page.html")
    first, *rest = text.split("{{")
    return first + "".join(parts[name] + after for name, _, after in (piece.partition("}}") for piece in rest))


def block(data: Mapping[str, Any]) -> str:
    """JSON that can stand in a script block, whatever is in it."""
    text = json.dumps(finite(data), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.translate(ESCAPES)


def _title(data: Mapping[str, Any]) -> str:
    collections = dict.fromkeys(board["dataset"] for board in data["boards"])
    return f"{len(data['overview'])} systems on {', '.join(collections)}"


def _read(name: str) -> str:
    return (FILES / name).read_text(encoding="utf-8").strip()


def _digest(text: str) -> str:
    """What a policy calls a script or style of this text."""
    return "sha256-" + base64.b64encode(hashlib.sha256(f"\n{text}\n".encode()).digest()).decode()
