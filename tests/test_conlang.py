"""The generated collection: the same bytes everywhere, without leakage, with correct alignments and difficulty."""

import re
from collections import Counter
from pathlib import Path
from statistics import fmean

import numpy as np
import pytest

from bench.data import conlang
from bench.data.conlang import LANGUAGES, ConlangOptions, Row
from bench.data.conlang.english import Phrase, Sentence, Speaker, word
from bench.data.conlang.language import ARTICLES, CONTENT, Language, Translation
from bench.data.conlang.lexicon import ENGLISH
from bench.data.conlang.rng import stream
from bench.data.conlang.world import ASKED, question_about, random_passage, random_passages, random_questions
from bench.errors import BenchError
from bench.storage.hashing import digest_texts

SMALL = ConlangOptions(
    scale=0.1, test_queries=40, test_passages=1000, dev_queries=20, dev_passages=500, train_questions=1000
)
NEAR, MIDDLE, FAR = LANGUAGES.values()

every_language = pytest.mark.parametrize(("code", "language"), LANGUAGES.items(), ids=LANGUAGES)


def everything(code: str, options: ConlangOptions) -> dict[str, str]:
    """The digests of all data."""
    collections = {split: conlang.test(code, options.model_copy(update={"split": split})) for split in ("test", "dev")}
    bitext, relevance = conlang.bitext(code, options), conlang.relevance(options)
    return {
        **{split: collection.digest[:8] for split, collection in collections.items()},
        "bitext": digest_texts(bitext.query_side, bitext.document_side)[:8],
        "links": digest_texts(str(row.links) for row in conlang.aligned_bitext(code, options))[:8],
        "relevance": digest_texts(relevance.queries, relevance.positives)[:8],
    }


@pytest.mark.parametrize(
    ("code", "digests"),
    [
        ("qaa", "cd6b0718 ff3e5de6 3ef29e37 db28f8ca 320854c5"),
        ("qab", "b438f29e b969758b 159b0137 ac741508 320854c5"),
        ("qac", "28617e2c c824ad1b e6f0f560 e2e8049a 320854c5"),
    ],
)
def test_bytes_never_change(code: str, digests: str) -> None:
    """Each run of the tests has another order of sets."""
    assert " ".join(everything(code, ConlangOptions()).values()) == digests


def test_another_seed_gives_other_data_in_the_same_language() -> None:
    mine, theirs = (everything("qab", SMALL.model_copy(update={"seed": seed})) for seed in (0, 1))
    assert all(mine[name] != theirs[name] for name in mine)


@pytest.mark.parametrize("options", [SMALL, ConlangOptions()], ids=["small", "default"])
def test_no_test_or_development_data_in_training(options: ConlangOptions) -> None:
    training = conlang.relevance(options)
    seen = {*training.queries, *training.positives}
    for code in LANGUAGES:
        seen.update(conlang.bitext(code, options).document_side)
    test, dev = (conlang.test("qaa", options.model_copy(update={"split": split})) for split in ("test", "dev"))
    held_out = [{*collection.documents, *(collection.oracle_queries or ())} for collection in (test, dev)]
    assert not seen & (held_out[0] | held_out[1])
    assert not held_out[0] & held_out[1]


def test_splits_share_no_facts() -> None:
    facts = []
    for split in ("train", "dev", "test"):
        passages = conlang.structure(split, SMALL).passages
        traits = {(passage.entity.noun, trait) for passage in passages for trait in passage.entity.traits}
        facts.append(traits | {(event.verb, event.object or event.place) for p in passages for event in p.events})
    assert len(set.union(*facts)) == sum(map(len, facts))


def surface_forms(concept: str) -> set[str]:
    """Every form by which a text may mention a concept."""
    if concept not in ENGLISH.concepts:
        return {concept.split()[-1]}
    lemmas = ENGLISH.concepts[concept].lemmas
    past = {word(lemma, past=True).form for lemma in lemmas if ENGLISH.parts[lemma] == "verb"}
    return {*lemmas, *(word(lemma, plural=True).form for lemma in lemmas), *past}


@pytest.mark.parametrize("split", ["test", "dev", "train"])
def test_passage_states_its_facts_and_only_one_answers_a_question(split: str) -> None:
    structure = conlang.structure(split, SMALL)
    facts = [passage.facts for passage in structure.passages]
    for text, own in zip(structure.texts, facts, strict=True):
        words = set(re.findall(r"\w+", text))
        assert all(words & surface_forms(concept) for _, concept in frozenset.union(*own)), text
    for row, (kind, given) in zip(structure.rows, structure.questions, strict=True):
        fitting = [(other, fact) for other, known in enumerate(facts) for fact in known if fact.issuperset(given)]
        assert [other for other, _ in fitting] == [row]
        assert kind in ("who", "which") or ASKED[kind] in dict(fitting[0][1])


@every_language
def test_queries_are_translations_and_each_has_one_relevant_document(code: str, language: Language) -> None:
    made, sentences = conlang.test(code, SMALL), conlang.structure("test", SMALL).sentences
    assert made.oracle_queries == tuple(" ".join(sentence.forms[:-1]) + "?" for sentence in sentences)
    assert len(set(made.oracle_queries)) == len(made.queries) == 40
    for query, sentence in zip(made.queries, sentences, strict=True):
        noun = next((token.lemma for token in sentence.words if token.part == "noun"), None)
        assert query.endswith("?")
        assert noun is None or any(entry[-1] in query for entry in language.entries[noun])
    assert list(made.qrels) == list(made.query_ids) == sorted(set(made.query_ids))
    assert all(len(judged) == 1 and set(judged.values()) == {1} for judged in made.qrels.values())
    assert {document for judged in made.qrels.values() for document in judged} <= set(made.document_ids)
    assert list(made.document_ids) == sorted(set(made.document_ids))
    assert len(set(made.documents)) == len(made.documents)


def test_unknown_language_and_more_texts_than_the_world_has_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BenchError, match="did you mean qac"):
        conlang.bitext("qax", SMALL)
    passages = random_passages(0, "dev", 5, stream(0, "passages"))
    with pytest.raises(BenchError, match="5 passages"):
        random_questions(passages, 6, stream(0, "questions"))
    monkeypatch.setattr("bench.data.conlang.world.random_passage", lambda *_: passages[0])
    with pytest.raises(BenchError, match="only 1 of 2"):
        random_passages(0, "dev", 2, stream(0, "passages"))


def spoken(language: Language, count: int) -> list[tuple[Sentence, Translation]]:
    """Statements, introductions and questions with their translations, nothing dropped."""
    rng = stream(7, language.name)
    speaker, pairs = Speaker(rng, 0.4), []
    for _ in range(count):
        passage = random_passage(0, "bitext", ENGLISH.domains, rng, events=1)
        said = (*speaker.tell(passage), speaker.ask(question_about(passage.facts[0], rng)))
        pairs += [(sentence, language.translate(sentence, rng)) for sentence in said]
    return pairs


def affixes(language: Language) -> tuple[str, str]:
    """Patterns of all that may precede and follow the stem of a noun, verb or adjective."""
    cases = [*language.cases.values(), language.object]
    nominal = f"({language.plural})?({language.definite})?({'|'.join(cases)})?"
    suffixes = f"({nominal}|{language.past})".replace("A", "[ae]").replace("U", "[uü]")
    return f"({'|'.join(language.classes)})?", suffixes


@every_language
def test_links_join_words_with_entries_of_their_lemmas(code: str, language: Language) -> None:
    prefixes, suffixes = affixes(language)
    for sentence, translation in spoken(language, 300):
        words = sentence.words
        linked: dict[int, list[int]] = {}
        for source, target in translation.links:
            linked.setdefault(source, []).append(target)
        assert linked[len(words)] == [len(translation.tokens) - 1]
        for position, token in enumerate(words):
            if token.part in CONTENT:
                *light, last = [translation.tokens[target] for target in linked[position]]
                assert any(
                    light == list(entry[:-1]) and re.fullmatch(prefixes + re.escape(entry[-1]) + suffixes, last)
                    for entry in language.entries[token.lemma]
                ), (token, last)
        unlinked = set(range(len(translation.tokens))) - {target for _, target in translation.links}
        assert all(translation.tokens[target] == language.particle for target in unlinked)


def test_articles_and_auxiliaries_fuse_or_vanish() -> None:
    for sentence, translation in spoken(FAR, 50):
        linked = [sentence.words[source] for source, _ in translation.links if source < len(sentence.words)]
        assert not any(token.lemma in ARTICLES or token.part in ("auxiliary", "copula") for token in linked)
    for sentence, translation in spoken(NEAR, 50):
        parts = [token.part for token in sentence.words]
        if "auxiliary" in parts:
            auxiliary, verb = (
                {t for s, t in translation.links if s == parts.index(part)} for part in ("auxiliary", "verb")
            )
            assert auxiliary == {max(verb)}


@pytest.mark.parametrize(("language", "order"), [(NEAR, "SVO"), (MIDDLE, "SOV"), (FAR, "VSO")])
def test_clause_order_follows_the_specification(language: Language, order: str) -> None:
    subject = Phrase("subject", (word("the"), word("baker")))
    golden_lamps = Phrase("object", (word("a"), word("golden"), word("lamp", plural=True)))
    sentence = Sentence((subject, Phrase("verb", (word("hide", past=True),)), golden_lamps))
    links = language.translate(sentence, np.random.default_rng(0)).links
    place = {sentence.words[s].lemma: t for s, t in links if s < len(sentence.words)}
    ordered = sorted([("S", "baker"), ("V", "hide"), ("O", "lamp")], key=lambda item: place[item[1]])
    assert "".join(role for role, _ in ordered) == order
    assert (place["golden"] < place["lamp"]) == language.adjective_first

    what = (Phrase("question", (word("what"),)), Phrase("auxiliary", (word("do", past=True),)))
    question = Sentence((*what, subject, Phrase("verb", (word("hide"),))), "?", asked="object")
    links = language.translate(question, np.random.default_rng(0)).links
    assert (dict(links)[0] != 0) == language.in_situ == (language is MIDDLE)


@every_language
def test_bitext_has_the_alignment_and_the_noise_of_the_specification(code: str, language: Language) -> None:
    bitext, rows = conlang.bitext(code), conlang.aligned_bitext(code)
    texts = set(zip(bitext.document_side, bitext.query_side, strict=True))
    assert len(bitext) == language.sentences
    assert len(bitext) - len(rows) == round(language.misaligned_share * language.sentences)
    for source, target, links in rows:
        assert (" ".join(source[:-1]) + source[-1], " ".join(target[:-1]) + target[-1]) in texts
        assert all(0 <= e < len(source) and 0 <= f < len(target) for e, f in links)
        assert (len(source) - 1, len(target) - 1) in links


def test_misaligned_rows_exchange_their_translations() -> None:
    aligned = [Row((f"e{i}", "."), (f"f{i}", "."), ((0, 0), (1, 1))) for i in range(20)]
    rows = conlang.misalign(aligned, 0.25, np.random.default_rng(0))
    assert sorted(row.foreign for row in rows) == sorted(row.foreign for row in aligned)
    changed = [row.foreign != before.foreign for row, before in zip(rows, aligned, strict=True)]
    assert sum(changed) == 5
    assert changed == [not row.links for row in rows]
    assert conlang.misalign(aligned, 0.0, np.random.default_rng(0)) == tuple(aligned)


def test_dropped_words_take_their_links_along() -> None:
    whole = Translation(("a", "b", "c", "d", "."), ((0, 1), (1, 0), (1, 3), (2, 2), (3, 4)))
    expected = {(source, whole.tokens[target]) for source, target in whole.links}
    shortened = 0
    for seed in range(50):
        left = conlang.drop_words(whole, 0.4, np.random.default_rng(seed))
        assert left.tokens[-1] == "." and len(left.tokens) >= 2
        links = {(source, left.tokens[target]) for source, target in left.links}
        assert links == {link for link in expected if link[1] in left.tokens}
        shortened += len(left.tokens) < 5
    assert shortened > 25


@every_language
def test_properties_in_the_documentation(code: str, language: Language) -> None:
    rows = conlang.aligned_bitext(code)
    known = {word for sentence in conlang.bitext(code).query_side for word in re.findall(r"\w+", sentence)}
    words = [word for query in conlang.test(code).queries for word in query[:-1].split()]
    one_to_one, reordered = [], []
    for links in (row.links for row in rows):
        sources, targets = (Counter(link[side] for link in links) for side in (0, 1))
        one_to_one += [sources[e] == targets[f] == 1 for e, f in links]
        reordered += [any((e - other_e) * (f - other_f) < 0 for other_e, other_f in links) for e, f in links]
    noise = 1 - len(rows) / language.sentences
    shares = (fmean(word in known for word in words), fmean(one_to_one), fmean(reordered), noise)
    documentation = (Path(__file__).parents[1] / "docs" / "collections.md").read_text()
    (line,) = re.findall(rf"^ +{code} .*", documentation, re.MULTILINE)
    expected = [code, language.name, str(language.sentences), *(f"{share:.3f}" for share in shares)]
    assert [text for column, text in enumerate(line.split()) if column != 2] == expected
