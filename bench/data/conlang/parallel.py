"""The bitext of a language: random sentences, their translations, and noise as in real bitext."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from bench.data.conlang.english import Sentence, Speaker
from bench.data.conlang.language import Language, Translation
from bench.data.conlang.rng import bernoulli
from bench.data.conlang.world import MENTIONED, World

Links = tuple[tuple[int, int], ...]

QUESTION_SHARE = 0.3
INTRODUCTION_SHARE = 0.2
PARAPHRASE = 0.4


class Row(NamedTuple):
    """A row of a bitext: tokens, and links (English token, foreign token). A misaligned row has no links."""

    english: tuple[str, ...]
    foreign: tuple[str, ...]
    links: Links
    misaligned: bool = False


def rows(world: World, language: Language, count: int, rng: np.random.Generator) -> tuple[Row, ...]:
    """Return `count` rows about the domains of the language, with its shares of dropped words and misaligned rows."""
    spec = language.spec
    speaker = Speaker(rng, PARAPHRASE)
    aligned = []
    for _ in range(count):
        sentence = _sentence(world, spec.domains, speaker, rng)
        translation = drop_words(language.translate(sentence, rng), spec.dropped_share, rng)
        aligned.append(Row(sentence.tokens, translation.tokens, translation.links))
    return misalign(aligned, spec.misaligned_share, rng)


def drop_words(translation: Translation, share: float, rng: np.random.Generator) -> Translation:
    """Drop each word of a translation with probability `share`, but not the mark, and never all words."""
    last = len(translation.tokens) - 1
    kept = [index for index in range(last) if not bernoulli(rng, share)] or [0]
    position = {old: new for new, old in enumerate((*kept, last))}
    return Translation(
        tuple(translation.tokens[index] for index in position),
        tuple((source, position[target]) for source, target in translation.links if target in position),
    )


def misalign(aligned: list[Row], share: float, rng: np.random.Generator) -> tuple[Row, ...]:
    """Exchange the foreign sides of a `share` of the rows (rounded; never of a single row) among these rows."""
    count = round(share * len(aligned))
    chosen = rng.permutation(len(aligned))[: count if count > 1 else 0].tolist()
    result = list(aligned)
    for row, other in zip(chosen, chosen[1:] + chosen[:1], strict=True):
        result[row] = Row(aligned[row].english, aligned[other].foreign, (), misaligned=True)
    return tuple(result)


def _sentence(world: World, domains: tuple[str, ...], speaker: Speaker, rng: np.random.Generator) -> Sentence:
    passage = world.passage("bitext", domains, rng, events=1)
    kind = rng.random()
    if kind < QUESTION_SHARE:
        question = world.question(passage.facts()[0], rng)
        least = len(MENTIONED[question.kind])
        size = least + int(rng.random() * 3)
        return speaker.ask(question._replace(given=question.given[:size]))
    if kind < QUESTION_SHARE + INTRODUCTION_SHARE:
        return speaker.introduce(passage.entity)
    return speaker.report(passage.entity, passage.events[0])
