"""What is measured of generated data: how words correspond, and how much of a test its training data knows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from bench.conlang.parallel import Links

MARKS = (".", "?")


def one_to_one(alignments: Iterable[Links]) -> float:
    """The share of links of which neither end has another link; NaN without links."""
    alone = total = 0
    for links in alignments:
        sources = Counter(source for source, _ in links)
        targets = Counter(target for _, target in links)
        alone += sum(sources[source] == 1 and targets[target] == 1 for source, target in links)
        total += len(links)
    return alone / total if total else float("nan")


def reordered(alignments: Iterable[Links]) -> float:
    """The share of links that cross at least one other link of their sentence; NaN without links.

    Two links (e, f) and (e', f') cross where e < e' and f > f', or the other way round.
    """
    crossing = total = 0
    for links in alignments:
        crossing += sum(any((e - other_e) * (f - other_f) < 0 for other_e, other_f in links) for e, f in links)
        total += len(links)
    return crossing / total if total else float("nan")


def coverage(tokens: Iterable[str], corpus: Iterable[Sequence[str]]) -> float:
    """The share of running tokens, marks left out, whose form occurs in a corpus; NaN without tokens."""
    known = {token for sentence in corpus for token in sentence}
    running = [token for token in tokens if token not in MARKS]
    return sum(token in known for token in running) / len(running) if running else float("nan")


def mean_length(corpus: Sequence[Sequence[str]]) -> float:
    """Mean words per sentence, the mark left out; NaN for an empty corpus."""
    return sum(len(sentence) - 1 for sentence in corpus) / len(corpus) if corpus else float("nan")
