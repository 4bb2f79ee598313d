"""The file formats of cards, and the parser of each format for each role.

A parser turns a `Source` and a pair (a language for passages) into plain data: rows of two texts and their place in
the files for bitext and relevance judgments, a `TestCollection`, or texts for passages. A new format is a function in a
module here and a line in the table. The module is imported when the parser is called. So cards are read without it, and
no code depends on every format.
"""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from bench.data.formats.reading import Source
from bench.errors import BenchError, unknown

PARSERS: Mapping[str, Mapping[str, str]] = {
    "bitext": {
        "aligned-lines": "bitext.aligned_lines",
        "conlang": "conlang.bitext",
        "tab-separated": "bitext.tab_separated",
        "tmx-zip": "bitext.tmx",
        "verses": "bitext.verses",
        "xnli-entailment": "xnli.bitext",
    },
    "relevance": {
        "conlang": "conlang.relevance",
        "ir-datasets": "irds.relevance",
        "qed": "qa.qed_relevance",
        "squad": "qa.squad_relevance",
        "xnli-entailment": "xnli.relevance",
    },
    "test": {
        "afriqa": "qa.afriqa",
        "aligned-lines": "bitext.aligned_lines_test",
        "beir": "beir_trec.beir",
        "bucc-mining": "bucc.mining",
        "bucc-retrieval": "bucc.retrieval",
        "conlang": "conlang.test",
        "documents-of-lines": "bitext.documents_of_lines",
        "ir-datasets": "irds.test",
        "lareqa": "qa.lareqa",
        "squad": "qa.squad",
        "trec": "beir_trec.trec",
        "xnli-entailment": "xnli.entailment",
        "xnli-premises": "xnli.premises",
    },
    "passages": {"qed": "qa.qed_passages", "squad": "qa.squad_passages"},
}


def parser(format: str, role: str) -> tuple[str, str]:
    """Return the module and the name of a format's parser for a role. Raises `BenchError` if there is none."""
    if format in PARSERS[role]:
        module, function = PARSERS[role][format].split(".")
        return f"{__name__}.{module}", function
    roles = [other for other, parsers in PARSERS.items() if format in parsers]
    if not roles:
        raise unknown("format", format, {name for parsers in PARSERS.values() for name in parsers})
    raise BenchError(f"format '{format}' has no role '{role}'; it has {', '.join(roles)}")


def parse(format: str, role: str, source: Source, key: Any) -> Any:
    """Return the data that the parser of a format reads for a role. Raises `BenchError` for a malformed file."""
    module, function = parser(format, role)
    return getattr(import_module(module), function)(source, key)
