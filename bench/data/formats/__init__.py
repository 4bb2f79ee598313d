"""The file formats that cards may name, and the parser of each role that a format can play.

A parser turns a `Source` into plain data. A new format is a module here and a line in a table below.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from bench.data import Bitext, Pair, Relevance, TestCollection
from bench.data.formats import (
    afriqa,
    aligned_lines,
    bucc,
    conlang,
    irds,
    judged,
    lareqa,
    qed,
    squad,
    tab_separated,
    tmx,
    verses,
    xnli,
)
from bench.data.formats.source import Source
from bench.errors import BenchError, unknown

__all__ = ["BITEXT", "PASSAGES", "RELEVANCE", "TEST", "Source", "irds", "parser"]

BITEXT: Mapping[str, Callable[[Source, Pair], Bitext]] = {
    "aligned-lines": aligned_lines.bitext,
    "conlang": conlang.bitext,
    "tab-separated": tab_separated.bitext,
    "tmx-zip": tmx.bitext,
    "verses": verses.bitext,
    "xnli-entailment": xnli.bitext,
}
RELEVANCE: Mapping[str, Callable[[Source, Pair], Relevance]] = {
    "conlang": conlang.relevance,
    "ir-datasets": irds.relevance,
    "qed": qed.relevance,
    "squad": squad.relevance,
    "xnli-entailment": xnli.relevance,
}
TEST: Mapping[str, Callable[[Source, Pair], TestCollection]] = {
    "afriqa": afriqa.test,
    "aligned-lines": aligned_lines.test,
    "beir": judged.beir,
    "bucc-mining": bucc.mining,
    "bucc-retrieval": bucc.retrieval,
    "conlang": conlang.test,
    "documents-of-lines": aligned_lines.documents_test,
    "ir-datasets": irds.test,
    "lareqa": lareqa.test,
    "squad": squad.test,
    "trec": judged.trec,
    "xnli-entailment": xnli.entailment,
    "xnli-premises": xnli.premises,
}
PASSAGES: Mapping[str, Callable[[Source, str], tuple[str, ...]]] = {
    "qed": qed.passages,
    "squad": squad.passages,
}

_ROLES: Mapping[str, Mapping[str, Callable[..., Any]]] = {
    "bitext": BITEXT,
    "relevance": RELEVANCE,
    "test": TEST,
    "passages": PASSAGES,
}


def parser(format: str, role: str) -> Callable[..., Any]:
    """The parser of a format for a role; raises BenchError if the format is unknown or lacks the role."""
    if format in _ROLES[role]:
        return _ROLES[role][format]
    roles = [other for other, parsers in _ROLES.items() if format in parsers]
    if not roles:
        raise unknown("format", format, {name for parsers in _ROLES.values() for name in parsers})
    raise BenchError(f"format '{format}' has no role '{role}'; it has {', '.join(roles)}")
