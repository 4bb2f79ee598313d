"""The embedded collection "conlang": a small generated English world and artificial languages derived from it.

It needs no download, and its word alignments are known. The languages are more than ciphers of English: they reorder,
merge and drop words, inflect, and map words many to many. Their bitext is noisy and covers only some of the domains of
the test.
"""

from bench.data.conlang.collection import (
    ConlangOptions,
    aligned_bitext,
    bitext,
    dev,
    properties,
    properties_table,
    relevance,
    test,
)
from bench.data.conlang.language import LANGUAGES

__all__ = [
    "LANGUAGES",
    "ConlangOptions",
    "aligned_bitext",
    "bitext",
    "dev",
    "properties",
    "properties_table",
    "relevance",
    "test",
]
