"""The file formats of cards, and the parser of each format for each role.

A parser turns a `Source` and a pair (a language for passages) into plain data: a `TestCollection`, texts of passages,
or rows of bitext or judgments. A row has two texts and their place in the files. A new format is a function in a module
here and a line in the table. The module is imported when the parser is called, so no code depends on every format.
"""

from collections.abc import Iterable, Mapping
from importlib import import_module
from typing import Any, NamedTuple

from pydantic import BaseModel

from bench.data.formats.reading import Source
from bench.errors import BenchError, unknown
from bench.options import read_config


class Format(NamedTuple):
    """A format in one role."""

    parser: str
    """The module and the function."""
    files: str = ""
    """The keys of `files` in a card; a plus marks those that may name several files."""
    model: str = ""
    """The class in the module with the keys of `options` in a card."""

    @property
    def module(self) -> str:
        return f"{__name__}.{self.parser.partition('.')[0]}"

    @property
    def parse(self) -> Any:
        """The function."""
        return getattr(import_module(self.module), self.parser.partition(".")[2])

    @property
    def options(self) -> type[BaseModel] | None:
        """The model of the options; None if there are none."""
        return getattr(import_module(self.module), self.model) if self.model else None

    def check_files(self, files: Mapping[str, Iterable[str]]) -> None:
        """Raise `BenchError` unless a card names the files that the parser needs."""
        parts = {part.removesuffix("+"): part.endswith("+") for part in self.files.split()}
        for part, paths in files.items():
            if part not in parts:
                raise unknown("key of files", part, parts)
            if not parts[part] and len(list(paths)) > 1:
                raise BenchError(f"files.{part} names several files; this format takes one")
        if missing := [part for part in parts if not files.get(part)]:
            raise BenchError(f"files.{missing[0]} is missing; this format needs {', '.join(parts)}")

    def read_options(self, values: Mapping[str, Any], what: str) -> tuple[BaseModel, ...]:
        """Return the options of a card, if the format has any. Raises `BenchError`, which begins with `what`."""
        if self.options is None and values:
            raise BenchError(f"{what}: this format has no options; remove {', '.join(values)}")
        return (read_config(self.options, values, what),) if self.options else ()


FORMATS: Mapping[str, Mapping[str, Format]] = {
    "bitext": {
        "aligned-lines": Format("bitext.aligned_lines", "queries documents"),
        "conlang": Format("conlang.bitext", model="ConlangOptions"),
        "json-lines": Format("json_lines.bitext", "rows+", "Texts"),
        "tab-separated": Format("bitext.tab_separated", "rows+", "Columns"),
        "tmx": Format("bitext.tmx", "memories+"),
        "verses": Format("bitext.verses", "queries documents references", "Books"),
        "xnli-entailment": Format("xnli.bitext", "queries documents english", "Premises"),
    },
    "relevance": {
        "conlang": Format("conlang.relevance", model="ConlangOptions"),
        "ir-datasets": Format("irds.relevance", model="Datasets"),
        "json-lines": Format("json_lines.relevance", "rows+", "Judgments"),
        "qed": Format("qa.qed_relevance", "examples+"),
        "squad": Format("qa.squad_relevance", "articles+"),
        "xnli-entailment": Format("xnli.relevance", "queries documents english", "Premises"),
    },
    "test": {
        "afriqa": Format("qa.afriqa", "queries documents+"),
        "aligned-lines": Format("bitext.aligned_lines_test", "queries documents"),
        "beir": Format("beir_trec.beir", "queries documents+ qrels"),
        "bucc-mining": Format("bucc.mining", "queries documents gold"),
        "bucc-retrieval": Format("bucc.retrieval", "queries documents gold"),
        "conlang": Format("conlang.test", model="ConlangOptions"),
        "documents-of-lines": Format("bitext.documents_of_lines", "queries documents document-ids"),
        "ir-datasets": Format("irds.test", model="Datasets"),
        "lareqa": Format("qa.lareqa", "queries documents+"),
        "squad": Format("qa.squad", "queries+ documents+"),
        "trec": Format("beir_trec.trec", "queries documents+ qrels"),
        "xnli-entailment": Format("xnli.entailment", "queries documents", "Premises"),
        "xnli-premises": Format("xnli.premises", "queries documents"),
    },
    "passages": {"qed": Format("qa.qed_passages", "examples+"), "squad": Format("qa.squad_passages", "articles+")},
}


OLD_NAMES = {"tmx-zip": "tmx"}
"""Names of formats in older cards."""


def get_format(name: str, role: str) -> Format:
    """Return a format in a role. Raises `BenchError` if there is none."""
    name = OLD_NAMES.get(name, name)
    if name in FORMATS[role]:
        return FORMATS[role][name]
    roles = [other for other, formats in FORMATS.items() if name in formats]
    if not roles:
        raise unknown("format", name, {name for formats in FORMATS.values() for name in formats})
    raise BenchError(f"format '{name}' has no role '{role}'; it has {', '.join(roles)}")


def parse(name: str, role: str, source: Source, key: Any) -> Any:
    """Return the data that the parser of a format reads for a role. Raises `BenchError` for a malformed file."""
    found = get_format(name, role)
    return found.parse(source, key, *found.read_options(source.options, f"{source.name}: options"))
