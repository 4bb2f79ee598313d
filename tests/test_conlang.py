"""The generated collection: deterministic, without leakage, with correct alignments and measured difficulty."""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bench.data import Pair, conlang
from bench.data.conlang import collection
from bench.data.conlang.english import Phrase, Sentence, Speaker, past_form, plural_form, word
from bench.data.conlang.language import ARTICLES, CONTENT, LANGUAGES, Language, LanguageSpec, Translation
from bench.data.conlang.lexicon import english
from bench.data.conlang.parallel import Row, drop_words, misalign
from bench.data.conlang.rng import stream
from bench.data.conlang.world import ASKED, Entity, Event, Passage, World
from bench.errors import BenchError

SMALL = conlang.ConlangOptions(
    scale=0.1, test_queries=40, test_passages=1000, dev_queries=20, dev_passages=500, train_questions=1000
)

NEAR, MIDDLE, FAR = LANGUAGES.values()

every_language = pytest.mark.parametrize("code", sorted(LANGUAGES))


def forget() -> None:
    """Empty the caches."""
    conlang.relevance.cache_clear()
    collection.structure.cache_clear()
    collection.language.cache_clear()
    collection._rows.cache_clear()
    collection._translations.cache_clear()
    collection._retrieval.cache_clear()


def everything(code: str, options: conlang.ConlangOptions) -> tuple[object, ...]:
    return (
        conlang.bitext(code, options),
        conlang.aligned_bitext(code, options),
        conlang.relevance(options),
        conlang.test(code, options),
        conlang.dev(code, options),
    )


def spoken(spec: LanguageSpec, count: int = 300) -> list[tuple[Sentence, Translation]]:
    """Statements, introductions and questions with their translations, nothing dropped."""
    world, rng = World(0), stream(7, spec.code)
    speaker, tongue = Speaker(rng, 0.4), Language(spec, english())
    pairs = []
    for _ in range(count):
        passage = world.passage("bitext", english().domains, rng, events=1)
        said = (*speaker.tell(passage), speaker.ask(world.question(passage.facts()[0], rng)))
        pairs += [(sentence, tongue.translate(sentence, rng)) for sentence in said]
    return pairs


def affixes(spec: LanguageSpec) -> tuple[str, str]:
    """Patterns of all that may precede and follow the stem of a noun, verb or adjective."""
    morphology = spec.morphology
    cases = [suffix for _, suffix in morphology.cases] + [morphology.object]
    nominal = f"({morphology.plural})?({morphology.definite})?({'|'.join(cases)})?"
    suffixes = f"({nominal}|{morphology.past})".replace("A", "[ae]").replace("U", "[uü]")
    return f"({'|'.join(morphology.classes)})?", suffixes


@every_language
def test_same_options_give_the_same_data(code: str) -> None:
    first = everything(code, SMALL)
    forget()
    assert everything(code, SMALL) == first


def test_another_process_gives_the_same_data() -> None:
    """Nothing may depend on the order of a set of strings, which changes from process to process."""
    script = (
        "from zlib import crc32; from bench.data import conlang; "
        "options = conlang.ConlangOptions(scale=0.05, test_queries=40, dev_queries=20); "
        "print(crc32(repr((conlang.bitext('qab', options), conlang.test('qab', options), "
        "conlang.relevance(options))).encode()))"
    )
    printed = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": salt},
            cwd=Path(__file__).parents[1],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for salt in ("1", "2")
    }
    assert len(printed) == 1


def test_another_seed_gives_other_data_in_the_same_language() -> None:
    other = dataclasses.replace(SMALL, seed=1)
    for mine, theirs in zip(everything("qab", SMALL), everything("qab", other), strict=True):
        assert mine != theirs


def test_changing_one_language_leaves_the_others_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    before_near, before_far = everything("qaa", SMALL), everything("qac", SMALL)
    monkeypatch.setitem(LANGUAGES, "qac", dataclasses.replace(FAR, seed=999, synonym_share=0.9, sentences=500))
    forget()
    after_near, after_far = everything("qaa", SMALL), everything("qac", SMALL)
    forget()  # before any assertion, so that no other test meets the changed language
    assert after_near == before_near
    assert after_far[0] != before_far[0]
    assert after_far[2] == before_far[2]


def test_unknown_language_suggests_a_near_one() -> None:
    with pytest.raises(BenchError, match="did you mean qac"):
        conlang.bitext("qax", SMALL)


@pytest.mark.parametrize("sizes", [{"scale": 0.0}, {"scale": float("nan")}, {"test_queries": 3000}, {"seed": -1}])
def test_impossible_options_are_refused(sizes: dict[str, float]) -> None:
    with pytest.raises(BenchError):
        conlang.ConlangOptions(**sizes)  # type: ignore[arg-type]


def test_english_inflection() -> None:
    assert [past_form(verb, english()) for verb in ("carry", "stay", "hide", "move")] == [
        "carried", "stayed", "hid", "moved",
    ]  # fmt: skip
    assert [plural_form(noun, english()) for noun in ("torch", "berry", "wolf", "lamp")] == [
        "torches", "berries", "wolves", "lamps",
    ]  # fmt: skip


def test_a_passage_states_its_facts() -> None:
    entity = Entity("baker", ("wise", "proud"), "mill")
    event = Event("hide", "shell", "golden", "sailor", "cottage", "at dawn")
    told = Speaker(np.random.default_rng(0), paraphrase=0.0).tell(Passage(entity, (event,)))
    lemmas = {token.lemma for sentence in told for token in sentence.words}
    assert lemmas >= {"baker", "wise", "proud", "mill", "hide", "shell", "golden", "sailor", "cottage", "dawn"}


@pytest.mark.parametrize("options", [SMALL, conlang.ConlangOptions()], ids=["small", "default"])
def test_no_test_or_development_data_in_training(options: conlang.ConlangOptions) -> None:
    training = conlang.relevance(options)
    seen = {*training.queries, *training.positives}
    for code in LANGUAGES:
        seen.update(conlang.bitext(code, options).document_side)
    held_out = [set(c.documents) | set(c.oracle_queries or ()) for c in (conlang.test("qaa", options),
                                                                          conlang.dev("qaa", options))]  # fmt: skip
    assert not seen & (held_out[0] | held_out[1])
    assert not held_out[0] & held_out[1]


def test_splits_share_no_facts() -> None:
    facts = {
        split: {
            (passage.entity.noun, trait) for passage in collection.structure(split, SMALL).passages
            for trait in passage.entity.traits
        } | {
            (event.verb, event.object or event.place)
            for passage in collection.structure(split, SMALL).passages for event in passage.events
        }
        for split in ("train", "dev", "test")
    }  # fmt: skip
    assert not facts["train"] & facts["test"]
    assert not facts["train"] & facts["dev"]
    assert not facts["dev"] & facts["test"]


@pytest.mark.parametrize("split", ["test", "dev", "train"])
def test_exactly_one_passage_answers_a_question(split: str) -> None:
    structure = collection.structure(split, SMALL)
    facts = [passage.facts() for passage in structure.passages]
    for row, question in zip(structure.rows, structure.questions, strict=True):
        fitting = [(other, fact) for other, known in enumerate(facts) for fact in known if question.fits(fact)]
        assert [other for other, _ in fitting] == [row]
        filled = dict(fitting[0][1])
        assert question.kind in ("who", "which") or ASKED[question.kind] in filled
        # The text itself names every concept that the question mentions, and the answer.
        words = set(re.findall(r"\w+", structure.texts[row]))
        answer = [("answer", filled[ASKED[question.kind]])] if question.kind in ASKED else []
        for _, concept in (*question.given, *answer):
            assert words & surface_forms(concept), (concept, structure.texts[row])


def surface_forms(concept: str) -> set[str]:
    """Every form by which a text may mention a concept."""
    if concept not in english().concepts:
        return set(concept.split()[-1:])
    forms = set()
    for lemma in english().concepts[concept].lemmas:
        forms |= {lemma, word(lemma, plural=True).form}
        if english().parts[lemma] == "verb":
            forms.add(word(lemma, past=True).form)
    return forms


@every_language
def test_qrels_point_at_one_document_each(code: str) -> None:
    for made in (conlang.test(code, SMALL), conlang.dev(code, SMALL)):
        assert made.pair == Pair(code, "eng")
        assert set(made.qrels) == set(made.query_ids)
        assert all(len(judged) == 1 and set(judged.values()) == {1} for judged in made.qrels.values())
        assert {document for judged in made.qrels.values() for document in judged} <= set(made.document_ids)
        assert list(made.query_ids) == sorted(set(made.query_ids))
        assert list(made.document_ids) == sorted(set(made.document_ids))
        assert len(set(made.documents)) == len(made.documents)
        assert made.oracle_queries is not None and len(set(made.oracle_queries)) == len(made.queries)


def test_queries_are_translations_of_the_oracle_queries() -> None:
    structure = collection.structure("test", SMALL)
    for code in LANGUAGES:
        made = conlang.test(code, SMALL)
        assert made.oracle_queries == tuple(" ".join(s.tokens[:-1]) + "?" for s in structure.sentences)
        assert all(query.endswith("?") for query in made.queries)
        entries = collection.language(code).entries
        for query, sentence in zip(made.queries, structure.sentences, strict=True):
            noun = next((token.lemma for token in sentence.words if token.part == "noun"), None)
            assert noun is None or any(entry[-1] in query for entry in entries[noun])


def test_passages_stay_unique_and_questions_answerable_at_scale_ten() -> None:
    world = World(0)
    passages = world.passages("test", 20000, stream(0, "passages"))
    assert len(set(passages)) == 20000
    assert len(world.questions(passages, 400, stream(0, "questions"), extras=1)) == 400


def test_more_passages_or_questions_than_the_world_has_are_refused() -> None:
    world = World(0)
    passages = world.passages("dev", 5, stream(0, "passages"))
    with pytest.raises(BenchError, match="5 passages"):
        world.questions(passages, 6, stream(0, "questions"), extras=0)
    world.passage = lambda *_, **__: passages[0]  # type: ignore[method-assign]
    with pytest.raises(BenchError, match="only 1 of 2"):
        world.passages("dev", 2, stream(0, "passages"))


@pytest.mark.parametrize("spec", LANGUAGES.values(), ids=lambda spec: spec.code)
def test_links_join_words_with_entries_of_their_lemmas(spec: LanguageSpec) -> None:
    entries = Language(spec, english()).entries
    prefixes, suffixes = affixes(spec)
    for sentence, translation in spoken(spec):
        words = sentence.words
        linked: dict[int, list[int]] = {}
        for source, target in translation.links:
            assert 0 <= source <= len(words) and 0 <= target < len(translation.tokens)
            linked.setdefault(source, []).append(target)
        assert linked[len(words)] == [len(translation.tokens) - 1]
        for position, token in enumerate(words):
            if token.part not in CONTENT:
                continue
            forms = [translation.tokens[target] for target in linked[position]]
            assert any(
                forms[:-1] == list(entry[:-1]) and re.fullmatch(prefixes + re.escape(entry[-1]) + suffixes, forms[-1])
                for entry in entries[token.lemma]
            ), (token, forms)
        unlinked = set(range(len(translation.tokens))) - {target for _, target in translation.links}
        assert all(translation.tokens[target] == spec.morphology.particle for target in unlinked)


def test_articles_and_auxiliaries_fuse_or_vanish() -> None:
    for sentence, translation in spoken(FAR, 50):
        sources = {source for source, _ in translation.links}
        for position, token in enumerate(sentence.words):
            if token.lemma in ARTICLES or token.part in ("auxiliary", "copula"):
                assert position not in sources
    for sentence, translation in spoken(NEAR, 50):
        links = dict(translation.links)
        for position, token in enumerate(sentence.words):
            if token.part == "auxiliary":
                verb = next(i for i, other in enumerate(sentence.words) if other.part == "verb")
                assert links[position] == max(target for source, target in translation.links if source == verb)


def test_clause_order_follows_the_specification() -> None:
    sentence = Sentence((
        Phrase("subject", (word("the"), word("baker"))),
        Phrase("verb", (word("hide", past=True),)),
        Phrase("object", (word("a"), word("golden"), word("lamp", plural=True))),
    ))  # fmt: skip
    for spec, word_order in ((NEAR, "SVO"), (MIDDLE, "SOV"), (FAR, "VSO")):
        assert spec.word_order == word_order
        translation = Language(spec, english()).translate(sentence, np.random.default_rng(0))
        place = {sentence.words[s].lemma: t for s, t in translation.links if s < len(sentence.words)}
        assert (
            "".join(sorted("SVO", key=lambda role: place[{"S": "baker", "V": "hide", "O": "lamp"}[role]])) == word_order
        )
        assert (place["golden"] < place["lamp"]) == spec.adjective_first


def test_question_words_in_situ_have_the_position_of_the_answer() -> None:
    sentence = Sentence((
        Phrase("question", (word("what"),)),
        Phrase("auxiliary", (word("do", past=True),)),
        Phrase("subject", (word("the"), word("baker"))),
        Phrase("verb", (word("hide"),)),
    ), "?", asked="object")  # fmt: skip
    for spec, first in ((NEAR, True), (MIDDLE, False), (FAR, True)):
        links = Language(spec, english()).translate(sentence, np.random.default_rng(0)).links
        assert (dict(links)[0] == 0) == first


@pytest.mark.parametrize("spec", LANGUAGES.values(), ids=lambda spec: spec.code)
def test_lexicon_has_the_shares_of_the_specification(spec: LanguageSpec) -> None:
    entries = Language(spec, english()).entries
    content = [lemma for lemma, part in english().parts.items() if part in CONTENT]
    several = np.mean([len(entries[lemma]) > 1 for lemma in content])
    two_words = np.mean([len(entry) > 1 for lemma in content for entry in entries[lemma]])
    shared = np.mean([sum(entries[lemma] == entries[other] for other in content) > 1 for lemma in content])
    cognates = np.mean([any(entry[-1] == spec.phonology.borrow(lemma) for entry in entries[lemma])
                        for lemma in content]) if spec.cognate_share else 0.0  # fmt: skip
    assert several == pytest.approx(spec.synonym_share, abs=0.06)
    assert two_words == pytest.approx(spec.multiword_share, abs=0.06)
    assert spec.merge_share * 0.8 < shared < spec.merge_share * 2.4
    assert cognates == pytest.approx(spec.cognate_share, abs=0.07)


@every_language
def test_rows_of_the_bitext_agree_with_the_alignment(code: str) -> None:
    texts = set(zip(conlang.bitext(code, SMALL).document_side, conlang.bitext(code, SMALL).query_side, strict=True))
    for source, target, links in conlang.aligned_bitext(code, SMALL):
        assert (" ".join(source[:-1]) + source[-1], " ".join(target[:-1]) + target[-1]) in texts
        assert all(0 <= e < len(source) and 0 <= f < len(target) for e, f in links)
        assert (len(source) - 1, len(target) - 1) in links


@every_language
def test_noise_has_the_shares_of_the_specification(code: str) -> None:
    spec, rows = LANGUAGES[code], collection._rows(code, conlang.ConlangOptions())
    wrong = [row for row in rows if row.misaligned]
    assert len(rows) == spec.sentences
    assert len(wrong) == round(spec.misaligned_share * spec.sentences)
    assert not any(row.links for row in wrong)
    aligned = {row.foreign: row.english for row in rows if not row.misaligned}
    assert sum(aligned.get(row.foreign) == row.english for row in wrong) == 0


def test_misaligned_rows_exchange_their_translations() -> None:
    aligned = [Row((f"e{i}", "."), (f"f{i}", "."), ((0, 0), (1, 1))) for i in range(20)]
    rows = misalign(aligned, 0.25, np.random.default_rng(0))
    assert sorted(row.foreign for row in rows) == sorted(row.foreign for row in aligned)
    assert sum(row.foreign != before.foreign for row, before in zip(rows, aligned, strict=True)) == 5
    assert all(row.misaligned == (row.foreign != before.foreign) for row, before in zip(rows, aligned, strict=True))
    assert misalign(aligned, 0.0, np.random.default_rng(0)) == tuple(aligned)


def test_dropped_words_take_their_links_along() -> None:
    whole = Translation(("a", "b", "c", "d", "."), ((0, 1), (1, 0), (1, 3), (2, 2), (3, 4)))
    expected = {(source, whole.tokens[target]) for source, target in whole.links}
    shortened = 0
    for seed in range(50):
        left = drop_words(whole, 0.4, np.random.default_rng(seed))
        assert left.tokens[-1] == "." and len(left.tokens) >= 2
        kept = {(source, left.tokens[target]) for source, target in left.links}
        assert kept == {link for link in expected if link[1] in left.tokens}
        shortened += len(left.tokens) < 5
    assert shortened > 25


def test_properties_of_links() -> None:
    # Links 0-1 and 1-0 cross; 2-2 is plain; 3-3 and 3-4 share a source.
    links = ((0, 1), (1, 0), (2, 2), (3, 3), (3, 4))
    assert collection.one_to_one(links) == [True, True, True, False, False]
    assert collection.reordered(links) == [True, True, False, False, False]


@every_language
def test_default_data_is_neither_a_cipher_nor_out_of_reach(code: str) -> None:
    measured = conlang.properties(code)
    assert measured["bitext_rows"] == LANGUAGES[code].sentences
    assert 0.60 <= measured["seen_words"] <= 0.90
    assert measured["one_to_one"] < 0.80
    assert measured["reordered"] > 0.2
    assert measured["noise"] == pytest.approx(LANGUAGES[code].misaligned_share, abs=1e-3)
    assert len(conlang.test(code).queries) >= 300


def test_share_of_seen_words_falls_with_distance() -> None:
    near, middle, far = (conlang.properties(code)["seen_words"] for code in ("qaa", "qab", "qac"))
    assert near > middle > far
