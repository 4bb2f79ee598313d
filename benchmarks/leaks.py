"""Planted leaks: 14 kinds of copies of test sentences, 20 training rows each, and how many of them are found.

    python benchmarks/leaks.py                                  # generated sentences, nothing to download
    BENCH_MIRROR=FOLDER python benchmarks/leaks.py tatoeba      # sentences of a collection; or ntrex, ...
    python benchmarks/leaks.py --rows 1000000                   # time and memory of so many generated rows

prints the number of rows found of each kind, and among 2,000 clean rows. Clean rows that are found are printed to be
read: those of real collections may be leaks. Both are training rows of the pair, checked against all its tests.
"""

import argparse
import os
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from bench.data import Bitext, Pair
from bench.data.cards import load_cards
from bench.data.files import Resolver
from bench.data.leakage import find_leaks, protected
from bench.data.loading import load_judged
from bench.data.normalise import normalise
from bench.data.training_data import default_mix, search
from bench.running.cost import Meter

PLANTED, CLEAN, WORDS = 20, 2000, 20_000


class Planter:
    """Copies of test sentences with words of clean ones."""

    def __init__(self, clean: Sequence[str], rng: np.random.Generator) -> None:
        self.clean, self.rng = clean, rng
        self.words = sorted({word for text in clean for word in text.split() if word.isalpha()})

    def word(self) -> str:
        return self.words[self.rng.integers(len(self.words))]

    def around(self) -> str:
        return self.clean[self.rng.integers(len(self.clean))]

    def unicode(self, text: str) -> str:
        """Return the text with decomposed letters, no-break and double spaces, and a soft hyphen."""
        return "\u00ad" + unicodedata.normalize("NFD", text).replace(" ", "\u00a0 ") + "\u200b"

    def punctuated(self, text: str) -> str:
        words = text.rstrip(".!?").split()
        place = self.rng.integers(len(words))
        return f"\u00ab{' '.join([*words[:place], f'({words[place]})', *words[place + 1 :]])}\u2026\u00bb"

    def word_changed(self, text: str, *, drop: int, add: int) -> str:
        """Return the text with `add` other words in the place of `drop` of its words."""
        words = text.split()
        place = self.rng.integers(len(words))
        return " ".join([*words[:place], *(self.word() for _ in range(add)), *words[place + drop :]])

    def typo(self, text: str) -> str:
        """Return the text with a wrong letter in its longest word."""
        word = max(text.split(), key=len)
        place = self.rng.integers(len(word))
        letter = chr(ord("a") + (ord(word[place].lower()) - ord("a") + 1) % 26)
        return text.replace(word, word[:place] + letter + word[place + 1 :], 1)

    def swapped(self, text: str) -> str:
        words = text.split()
        place = self.rng.integers(max(len(words) - 1, 1))
        return " ".join([*words[:place], *words[place : place + 2][::-1], *words[place + 2 :]])

    def truncated(self, text: str) -> str:
        """Return the first two thirds of the words."""
        words = text.split()
        return " ".join(words[: -(-2 * len(words) // 3)])

    @property
    def kinds(self) -> dict[str, Callable[[str, str], str]]:
        """The kinds of leaks; each makes a row from one test sentence, or from two."""
        return {
            "exact copy": lambda text, _: text,
            "other case": lambda text, _: text.upper(),
            "other punctuation": lambda text, _: self.punctuated(text),
            "other spaces and Unicode forms": lambda text, _: self.unicode(text),
            "inside a longer row": lambda text, _: f"{self.around()} {text} {self.around()}",
            "at the start of a longer row": lambda text, _: f"{text} {self.around()}",
            "at the end of a longer row": lambda text, _: f"{self.around()} {text}",
            "two test sentences joined": lambda text, other: f"{text} {other}",
            "one word changed": lambda text, _: self.word_changed(text, drop=1, add=1),
            "one word inserted": lambda text, _: self.word_changed(text, drop=0, add=1),
            "one word deleted": lambda text, _: self.word_changed(text, drop=1, add=0),
            "one letter wrong": lambda text, _: self.typo(text),
            "two words swapped": lambda text, _: self.swapped(text),
            "last third missing": lambda text, _: self.truncated(text),
        }


def sentences(rng: np.random.Generator, count: int) -> list[str]:
    """Return sentences of 3 to 15 made-up words, whose frequencies follow Zipf's law; equal ones are rare."""
    spelling = np.random.default_rng(0)  # one language for all calls
    letters = "aaaabdeeefghiiijklmnooprstuuwyz"
    drawn = (spelling.integers(len(letters), size=spelling.integers(2, 10)) for _ in range(WORDS))
    words = ["".join(letters[n] for n in word) for word in drawn]
    frequencies = 1 / np.arange(10, WORDS + 10)
    lengths = rng.integers(3, 16, size=count)
    chosen = iter(rng.choice(WORDS, size=lengths.sum(), p=frequencies / frequencies.sum()).tolist())
    return [" ".join(words[next(chosen)] for _ in range(length)) for length in lengths.tolist()]


def bitext(texts: Sequence[str]) -> Bitext:
    """Return rows with these texts on the document side, and numbers on the other."""
    return Bitext.of(Pair("swh", "eng"), map(str, range(len(texts))), texts, "planted")


def plant(texts: Sequence[str], clean: Sequence[str], rng: np.random.Generator) -> dict[str, list[str]]:
    """Return `PLANTED` rows of each kind, from different test sentences as far as there are enough."""
    planter = Planter(clean, rng)
    order = iter([texts[n] for _ in range(2 * PLANTED) for n in rng.permutation(len(texts))])
    return {kind: [make(next(order), next(order)) for _ in range(PLANTED)] for kind, make in planter.kinds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("collection", nargs="?", help="a test collection; generated sentences by default")
    parser.add_argument("--pair", default="swh-eng")
    parser.add_argument("--letters", type=int, default=0, help="plant only test sentences of so many letters or more")
    parser.add_argument("--rows", type=int, default=0, help="only measure the time and memory of generated rows")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rng = np.random.default_rng(arguments.seed)
    if arguments.rows:
        tests, data = {"generated": set(sentences(rng, 5000))}, bitext(sentences(rng, arguments.rows))
        with Meter() as meter:
            leaks = find_leaks(data, tests)
        cost = f"{meter.cost['cpu_seconds']:.0f} CPU s, {meter.memory_mib:,.0f} MiB at peak"
        print(f"{arguments.rows:,} rows: {cost}, {len({leak.row for leak in leaks})} rows leak")
        return
    if arguments.collection:
        cards, pair = load_cards(), Pair(*arguments.pair.split("-"))
        resolver = Resolver(Path(os.environ["BENCH_MIRROR"]), offline=True)
        found = search([default_mix(pair, cards)], [pair], resolver, cards)
        tests = {name: set(texts) for name, texts in found.tests.items()}
        test = load_judged(cards[arguments.collection], pair, resolver)
        texts = sorted(text for text in set(test.documents) if normalise(text) in protected(test))
        clean = list(found.rows["bitext"].document_side)
    else:
        texts, clean = sentences(rng, 2000), sentences(rng, CLEAN)
        tests = {"generated": set(texts)}
    texts = [text for text in texts if len(normalise(text).replace(" ", "")) >= arguments.letters]
    clean = [clean[row] for row in rng.permutation(len(clean))[:CLEAN]]
    planted = plant(texts, clean, rng)
    rows = [text for made in planted.values() for text in made]
    leaking = {leak.row for leak in find_leaks(bitext(rows), tests)}
    for number, kind in enumerate(planted):
        print(f"{kind:32}{sum(number * PLANTED + row in leaking for row in range(PLANTED)):3} of {PLANTED}")
    alarms = find_leaks(bitext(clean), tests)
    print(f"{'clean rows':32}{len({leak.row for leak in alarms}):3} of {len(clean):,}")
    for leak in alarms:
        print(f"    {leak.kind}: {clean[leak.row]} | {leak.text}")


if __name__ == "__main__":
    main()
