"""The file formats of cards, and the parser of each role of a format.

A parser turns a `Source` into plain data. A new format is a function in a module here and a line in a table below. The
module is imported when the parser is first called. So cards are read without it, and no code depends on every format.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from bench.data import Bitext, Pair, Relevance, TestCollection
from bench.data.formats.reading import Source
from bench.errors import BenchError, unknown

if TYPE_CHECKING:
    from bench.data.formats import irds

__all__ = ["BITEXT", "PASSAGES", "RELEVANCE", "TEST", "Source", "irds", "parser"]


def _parser(name: str) -> Callable[[Source, Any], Any]:
    """Return the function `module.function` of this package, without importing the module yet."""
    module, function = f"{__name__}.{name}".rsplit(".", 1)

    def parse(source: Source, key: Any) -> Any:
        return getattr(import_module(module), function)(source, key)

    parse.__module__ = module
    return parse


BITEXT: Mapping[str, Callable[[Source, Pair], Bitext]] = {
    "aligned-lines": _parser("bitext.aligned_lines"),
    "conlang": _parser("conlang.bitext"),
    "tab-separated": _parser("bitext.tab_separated"),
    "tmx-zip": _parser("bitext.tmx"),
    "verses": _parser("bitext.verses"),
    "xnli-entailment": _parser("xnli.bitext"),
}
RELEVANCE: Mapping[str, Callable[[Source, Pair], Relevance]] = {
    "conlang": _parser("conlang.relevance"),
    "ir-datasets": _parser("irds.relevance"),
    "qed": _parser("qa.qed_relevance"),
    "squad": _parser("qa.squad_relevance"),
    "xnli-entailment": _parser("xnli.relevance"),
}
TEST: Mapping[str, Callable[[Source, Pair], TestCollection]] = {
    "afriqa": _parser("qa.afriqa"),
    "aligned-lines": _parser("bitext.aligned_lines_test"),
    "beir": _parser("beir_trec.beir"),
    "bucc-mining": _parser("bucc.mining"),
    "bucc-retrieval": _parser("bucc.retrieval"),
    "conlang": _parser("conlang.test"),
    "documents-of-lines": _parser("bitext.documents_of_lines"),
    "ir-datasets": _parser("irds.test"),
    "lareqa": _parser("qa.lareqa"),
    "squad": _parser("qa.squad"),
    "trec": _parser("beir_trec.trec"),
    "xnli-entailment": _parser("xnli.entailment"),
    "xnli-premises": _parser("xnli.premises"),
}
PASSAGES: Mapping[str, Callable[[Source, str], tuple[str, ...]]] = {
    "qed": _parser("qa.qed_passages"),
    "squad": _parser("qa.squad_passages"),
}

_ROLES: Mapping[str, Mapping[str, Callable[..., Any]]] = {
    "bitext": BITEXT,
    "relevance": RELEVANCE,
    "test": TEST,
    "passages": PASSAGES,
}


def parser(format: str, role: str) -> Callable[..., Any]:
    """Return the parser of a format for a role. Its `__module__` names the code that a result depends on.

    Raises `BenchError` if the format is unknown or lacks the role.
    """
    if format in _ROLES[role]:
        return _ROLES[role][format]
    roles = [other for other, parsers in _ROLES.items() if format in parsers]
    if not roles:
        raise unknown("format", format, {name for parsers in _ROLES.values() for name in parsers})
    raise BenchError(f"format '{format}' has no role '{role}'; it has {', '.join(roles)}")
