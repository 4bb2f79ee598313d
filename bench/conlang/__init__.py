"""The embedded collection "conlang": a small generated English world and artificial languages derived from it.

It needs no download and is known down to the word alignments. The languages are no ciphers of English:
they reorder, fuse and drop words, inflect, and map words many to many; their bitext is noisy and covers
only some of the domains that the test asks about.
"""

from bench.conlang.collection import ConlangOptions, aligned_bitext, bitext, dev, relevance, statistics, test
from bench.conlang.languages import LANGUAGES

__all__ = ["LANGUAGES", "ConlangOptions", "aligned_bitext", "bitext", "dev", "relevance", "statistics", "test"]
