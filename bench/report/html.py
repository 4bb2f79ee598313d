"""The page: one HTML file with its style, its script and its data, which needs no network.

Names of methods may contain anything. They reach the page as JSON in which nothing ends the block, and are shown as
text only. As a second defence, the policy in the page's head lets no other script run.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

FILES = files("bench.report") / "page"
SCRIPTS = (
    *("dom.js", "charts.js", "table.js", "rows.js"),
    *("leaderboard.js", "plots.js", "duel.js", "manifests.js", "page.js"),
)
"""Concatenated in this order, they are one module."""
ESCAPES = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"})
"""The characters that could end a script block or a line, as JSON escapes of strings."""


def page(data: Mapping[str, Any]) -> str:
    """Return the page of a report's data; the same data are the same bytes."""
    style = _read("page.css")
    script = "\n".join(map(_read, SCRIPTS))
    collections = dict.fromkeys(board["dataset"] for board in data["boards"])
    parts = {
        "title": html.escape(f"{len(data['overview'])} systems on {', '.join(collections)}"),
        "policy": f"default-src 'none'; style-src '{_digest(style)}'; script-src '{_digest(script)}'; img-src data:; "
        "base-uri 'none'; form-action 'none'",
        "style": style,
        "data": block(data),
        "script": script,
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], _read("page.html"))


def block(data: Mapping[str, Any]) -> str:
    """Return JSON that is safe in a script block, whatever its strings contain. NaN and infinities become null."""
    finite = json.loads(json.dumps(data), parse_constant=lambda _: None)
    return json.dumps(finite, ensure_ascii=False, separators=(",", ":")).translate(ESCAPES)


def _read(name: str) -> str:
    return (FILES / name).read_text(encoding="utf-8").strip()


def _digest(text: str) -> str:
    """Return the hash that identifies a script or style of this text in a content security policy."""
    return "sha256-" + base64.b64encode(hashlib.sha256(f"\n{text}\n".encode()).digest()).decode()
