"""Evaluation: which texts are encoded by whom, and what may come from the cache; retrievers are read back the same."""

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest
import torch
from conftest import make_encoder

from bench.data import Ids, TestCollection
from bench.data.leakage import protected
from bench.encoders.encoder import Encoder, Side, TokenBatch, autocast
from bench.errors import BenchError
from bench.evaluation.embeddings import Embeddings
from bench.evaluation.evaluate import Evaluation, evaluate
from bench.evaluation.retriever import DualEncoder, OnBatch, Ranker, Retriever

Evaluate = Callable[..., Evaluation]


@pytest.fixture
def evaluated(collection: TestCollection, tmp_path: Path) -> Evaluate:
    """`evaluate` on the collection; each call is another cell, and all share a cache."""
    numbers = itertools.count()

    def run(retriever: Retriever, test: TestCollection = collection, **more: Any) -> Evaluation:
        folders = {"cache": tmp_path / "cache", "scratch": tmp_path / f"scratch{next(numbers)}"}
        return evaluate(retriever, test, **{"oracle": False, **folders, **more})

    return run


def best(evaluation: Evaluation) -> list[str]:
    return [ranking[0][0] for ranking in evaluation.run.values()]


def test_queries_are_encoded_by_one_encoder_and_documents_by_the_other(
    teacher: Encoder, collection: TestCollection, evaluated: Evaluate
) -> None:
    student = make_encoder(seed=3, prompts={"query": "the ", "document": "some "})
    run = evaluated(DualEncoder(student, teacher)).run
    scores = student.encode(collection.queries, "query") @ teacher.encode(collection.documents, "document").T
    assert list(run) == list(collection.query_ids)
    for row, ranking in enumerate(run.values()):
        assert len(ranking) == len(collection.documents)
        assert ranking[0][0] == collection.document_ids[int(scores[row].argmax())]
        found = dict(ranking)
        expected = dict(zip(collection.document_ids, scores[row], strict=True))
        assert found == pytest.approx({key: float(value) for key, value in expected.items()}, abs=1e-5)


@pytest.mark.parametrize("scoring", ["single-vector", "maxsim"])
def test_queries_are_encoded_in_float32_and_documents_in_bfloat16(
    scoring: str, teacher: Encoder, evaluated: Evaluate, monkeypatch: pytest.MonkeyPatch
) -> None:
    student, seen = make_encoder(seed=3), set()
    token_embeddings = Encoder.token_embeddings

    def watched(self: Encoder, batch: TokenBatch, layer: int = -1) -> torch.Tensor:
        seen.add((self is student, torch.is_autocast_enabled("cpu")))
        return token_embeddings(self, batch, layer)

    monkeypatch.setattr(Encoder, "token_embeddings", watched)
    with autocast(student.device, "bfloat16"):
        evaluated(DualEncoder(student, teacher), scoring=scoring)
    assert seen == {(True, False), (False, True)}


def test_oracle_is_given_the_translated_queries(
    teacher: Encoder, collection: TestCollection, evaluated: Evaluate
) -> None:
    """Here they are the documents themselves, so that nothing is easier."""
    found = best(evaluated(DualEncoder(teacher, teacher), oracle=True))
    assert found == [f"d{i:02d}" for i in range(20)]
    assert best(evaluated(DualEncoder(teacher, teacher))) != found


def test_documents_of_a_frozen_encoder_are_encoded_once_and_those_of_a_trained_one_are_never_cached(
    teacher: Encoder, collection: TestCollection, evaluated: Evaluate, monkeypatch: pytest.MonkeyPatch
) -> None:
    retriever = DualEncoder(teacher, teacher)
    first = evaluated(retriever)
    reads: list[str] = []
    encode = Encoder.encode

    def watched(self: Encoder, texts: Sequence[str], side: Side, **more: object) -> np.ndarray:
        reads.append(side)
        return encode(self, texts, side, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(Encoder, "encode", watched)
    counts: list[int] = []
    second = evaluated(retriever, on_texts=counts.append)
    assert (first.documents_cached, second.documents_cached) == (False, True)
    assert second.seconds["encode_documents"] == 0 < first.seconds["encode_documents"]
    assert reads == ["query"]
    assert sum(counts) == len(collection.queries) + len(collection.documents)
    assert second.run == first.run
    student = make_encoder(seed=3)
    assert not any(evaluated(DualEncoder(student, student)).documents_cached for _ in range(2))
    size = len(collection.documents) * teacher.dimension * 4
    assert first.index_mib == second.index_mib == pytest.approx(size / 2**20, abs=5e-4)


class Text(str):
    """A text that counts how many of its kind are alive."""

    alive = most = 0

    def __new__(cls, text: str) -> Self:
        cls.alive += 1
        cls.most = max(cls.most, cls.alive)
        return super().__new__(cls, text)

    def __del__(self) -> None:
        Text.alive -= 1


class Corpus(Sequence[str]):
    """Texts that are made when they are asked for, and not kept."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.texts = texts

    def __len__(self) -> int:
        return len(self.texts)

    def __getitem__(self, key: Any) -> Any:
        return [*map(Text, self.texts[key])] if isinstance(key, slice) else Text(self.texts[key])


@pytest.mark.parametrize("scoring", ["single-vector", "maxsim"])
@pytest.mark.parametrize("block", [8, 16])
def test_of_a_corpus_one_block_is_in_memory(
    teacher: Encoder,
    collection: TestCollection,
    evaluated: Evaluate,
    monkeypatch: pytest.MonkeyPatch,
    block: int,
    scoring: str,
) -> None:
    retriever = DualEncoder(teacher, teacher)
    whole = evaluated(retriever, scoring=scoring)
    monkeypatch.setattr("bench.evaluation.embeddings.SHARD", 4)
    monkeypatch.setattr("bench.evaluation.embeddings.BLOCK", block)
    monkeypatch.setattr("bench.evaluation.maxsim.BLOCK", block)
    monkeypatch.setattr(Text, "most", 0)
    lazy = dataclasses.replace(collection, documents=Corpus(collection.documents))
    assert lazy.digest == collection.digest
    first, second = (evaluated(retriever, lazy, scoring=scoring) for _ in range(2))
    assert (first.documents_cached, second.documents_cached) == (False, scoring == "single-vector")
    assert Text.most == block
    assert protected(lazy) == protected(collection)
    assert first.run == second.run == evaluated(retriever, scoring=scoring).run
    for query, ranking in whole.run.items():
        assert [document for document, _ in first.run[query]] == [document for document, _ in ranking]
        assert dict(first.run[query]) == pytest.approx(dict(ranking), abs=1e-5)


class Returning(Ranker):
    """Returns what it was made with, and reports that it has read every text."""

    scorings = ("fixed",)
    save = DualEncoder.save

    def __init__(self, found: Any) -> None:
        self.found = found

    def rank(
        self, queries: Sequence[str], documents: Sequence[str], ids: Ids, depth: int, on_texts: OnBatch
    ) -> dict[str, list[tuple[str, float]]]:
        on_texts(len(queries) + len(documents))
        return self.found


def test_ranker_ranks_by_itself(collection: TestCollection, evaluated: Evaluate) -> None:
    counts: list[int] = []
    ranking = [("d07", 1.0), ("d02", 2.0), ("d01", 2.0), ("d00", 0.5)]
    ranker = Returning({query: ranking for query in collection.query_ids if query != "q03"})
    evaluation = evaluated(ranker, collection, scoring="fixed", on_texts=counts.append, depth=3)
    assert [*evaluation.run] == [query for query in collection.query_ids if query != "q03"]
    for ranking in evaluation.run.values():
        assert [document for document, _ in ranking] == ["d01", "d02", "d07"]
        assert ranking[0][1] > ranking[1][1] > ranking[2][1]
    assert (sum(counts), evaluation.documents_cached, [*evaluation.seconds]) == (60, False, ["search"])


@pytest.mark.parametrize(
    "item",
    [
        *[("d01", score) for score in (float("nan"), float("inf"), -1e39, "1", None)],
        *[(document, 1.0) for document in ("d99", "d01 \n", 1, ["d01"], "d02")],
        "d01",
    ],
)
def test_ranking_that_does_not_fit_is_refused(collection: TestCollection, evaluated: Evaluate, item: Any) -> None:
    """`d02` occurs already."""
    with pytest.raises(BenchError, match="known ids, none twice, and finite scores; for query 'q01' it ret") as caught:
        evaluated(Returning({"q00": [], "q01": [("d02", 2.0), item]}), collection, scoring="fixed")
    assert str(caught.value).endswith(repr(item))


@pytest.mark.parametrize(
    ("found", "line"),
    [
        ({"q99": []}, "rank returned an unknown query id: 'q99'"),
        ({1: []}, "rank returned an unknown query id: 1"),
        ({"q01": iter([("d01", 1.0)])}, "rank must return a sequence for query 'q01', not list_iterator"),
        (None, "rank must return a mapping of query ids, not NoneType"),
    ],
)
def test_output_of_a_ranker_that_is_no_run_is_refused(
    collection: TestCollection, evaluated: Evaluate, found: Any, line: str
) -> None:
    with pytest.raises(BenchError, match=line):
        evaluated(Returning(found), collection, scoring="fixed")


@pytest.mark.parametrize("side", ["queries", "documents"])
@pytest.mark.parametrize(
    ("change", "got"),
    [
        (lambda vectors: vectors[1:], "({fewer}, 16) float32"),
        (lambda vectors: vectors[0], "(16,) float32"),
        (lambda vectors: vectors.astype(float), "({texts}, 16) float64"),
        (lambda vectors: vectors.tolist(), "list"),
    ],
)
def test_embeddings_that_do_not_fit_are_refused(
    teacher: Encoder, collection: TestCollection, evaluated: Evaluate, side: str, change: Any, got: str
) -> None:
    changed = type("Changed", (DualEncoder,), {})
    encode = getattr(DualEncoder, f"encode_{side}")
    setattr(changed, f"encode_{side}", wraps(encode)(lambda *arguments: change(encode(*arguments))))
    with pytest.raises(BenchError) as caught:
        evaluated(changed(teacher, teacher))
    texts = len(getattr(collection, side))
    requirement = f"encode_{side} must return ({texts}, dimension) float32"
    assert str(caught.value) == f"{requirement}, not {got.format(texts=texts, fewer=texts - 1)}"


def test_both_encoders_must_have_one_dimension(teacher: Encoder, evaluated: Evaluate) -> None:
    class Small(DualEncoder):
        def encode_queries(self, texts: Sequence[str], on_batch: OnBatch | None = None) -> np.ndarray:
            return np.eye(20, 8, dtype=np.float32)

    evaluated(DualEncoder(teacher, teacher))  # its documents come from the cache afterwards
    with pytest.raises(BenchError, match="document embeddings have 16 dimensions, query embeddings 8"):
        evaluated(Small(teacher, teacher))


@pytest.mark.parametrize("scoring", ["single-vector", "maxsim"])
@pytest.mark.parametrize("texts", [["a"], [*"abcdefghijklmnopqrs", None], "abcdefghijklmnopqrst", None])
def test_rewritten_queries_that_do_not_fit_are_refused(
    teacher: Encoder, evaluated: Evaluate, texts: Any, scoring: str
) -> None:
    class Rewriting(DualEncoder):
        def rewrite(self, queries: Sequence[str], on_batch: OnBatch | None = None) -> Any:
            return texts

    with pytest.raises(BenchError, match="rewrite must return a sequence of 20 texts, one for each query"):
        evaluated(Rewriting(teacher, teacher), scoring=scoring)


class Neither(Retriever):
    scorings = ("single-vector",)
    save = DualEncoder.save


def test_what_cannot_be_evaluated_is_refused(teacher: Encoder, collection: TestCollection, evaluated: Evaluate) -> None:
    with pytest.raises(TypeError, match="a Neither is neither a DualEncoder nor a Ranker"):
        evaluated(Neither())
    with pytest.raises(ValueError, match="a Returning does not support the scoring single-vector"):
        evaluated(Returning({}))
    with pytest.raises(ValueError, match="no translation of its queries"):
        evaluated(DualEncoder(teacher, teacher), dataclasses.replace(collection, oracle_queries=None), oracle=True)


TEXTS = ["the cat saw a red house", "the dog", "some bread"]


@pytest.fixture
def encoders(teacher: Encoder) -> dict[str, Encoder]:
    return {"teacher": teacher, "student": make_encoder(seed=1), "other": make_encoder(seed=2, pooling="cls")}


@pytest.mark.parametrize(
    ("query", "document", "folders"),
    [
        ("teacher", "teacher", set()),
        ("student", "teacher", {"query"}),
        ("teacher", "student", {"document"}),
        ("student", "student", {"query"}),
        ("student", "other", {"query", "document"}),
    ],
)
def test_saved_retriever_is_read_back_the_same(
    encoders: dict[str, Encoder], tmp_path: Path, query: str, document: str, folders: set[str]
) -> None:
    teacher = encoders["teacher"]
    retriever = DualEncoder(encoders[query], encoders[document])
    retriever.save(tmp_path / "saved", teacher)
    found = DualEncoder.load(tmp_path / "saved", teacher)
    assert {path.name for path in (tmp_path / "saved").iterdir() if path.is_dir()} == folders
    files = [path for path in (tmp_path / "saved").rglob("*") if path.is_file()]
    assert {path.suffix for path in files} <= {".safetensors", ".json", ".txt"}  # no pickles
    for side in ("query", "document"):
        one, other = getattr(found, f"{side}_encoder"), getattr(retriever, f"{side}_encoder")
        assert one.fingerprint() == other.fingerprint()
        assert np.array_equal(one.encode(TEXTS, side), other.encode(TEXTS, side))
        assert (one is teacher) == (other is teacher)
        assert not one.training
    assert (found.query_encoder is found.document_encoder) == (query == document)


def test_retriever_of_another_teacher_is_refused(encoders: dict[str, Encoder], tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="holds no retriever"):
        DualEncoder.load(tmp_path, encoders["teacher"])
    DualEncoder(encoders["student"], encoders["teacher"]).save(tmp_path, encoders["teacher"])
    equal = make_encoder().freeze()
    assert DualEncoder.load(tmp_path, equal).document_encoder is equal
    with pytest.raises(BenchError, match="was made with another teacher"):
        DualEncoder.load(tmp_path, make_encoder(seed=5).freeze())


MANY = [f"the {'very ' * (i % 7)}old boat number {i}" for i in range(50)]


@pytest.fixture(params=[24, 64], ids=["blocks", "one-block"])
def small_shards(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seven shards, in three blocks or in one."""
    monkeypatch.setattr("bench.evaluation.embeddings.SHARD", 8)
    monkeypatch.setattr("bench.evaluation.embeddings.BLOCK", request.param)


class Embed:
    """Embeds documents in a folder; dies at the call `dies_at` of the encoder."""

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder

    def __call__(self, parent: Path, texts: Sequence[str] = MANY, dies_at: int = 0) -> tuple[bytes, int]:
        """Return the embeddings' bytes and the number of calls of the encoder."""
        calls, counts = 0, []

        class Counted(DualEncoder):
            def encode_documents(self, texts: Sequence[str], on_batch: OnBatch | None = None) -> np.ndarray:
                nonlocal calls
                calls += 1
                if calls == dies_at:
                    raise KeyboardInterrupt
                return super().encode_documents(texts, on_batch)

        embeddings = Embeddings(Counted(self.encoder, self.encoder), "document", texts, parent, counts.append)
        self.vectors = np.concatenate(list(embeddings))
        assert (embeddings.seconds == 0) == (calls == 0)
        assert sum(counts) == len(texts) or len(set(texts)) < len(texts)
        return self.vectors.tobytes(), calls


@pytest.fixture
def embed(encoder: Encoder, small_shards: None) -> Embed:
    return Embed(encoder)


@pytest.mark.parametrize("dies_at", [1, 2, 5, 7])
def test_rows_are_in_order_and_encoding_that_died_ends_in_the_same_bytes(
    embed: Embed, tmp_path: Path, dies_at: int
) -> None:
    whole, _ = embed(tmp_path / "whole")
    np.testing.assert_allclose(embed.vectors, embed.encoder.encode(MANY, "document"), atol=1e-6)
    assert embed(tmp_path / "whole") == (whole, 0)
    with pytest.raises(KeyboardInterrupt):
        embed(tmp_path / "died", dies_at=dies_at)
    assert embed(tmp_path / "died") == (whole, 7 - (dies_at - 1))


def test_repeated_text_of_a_block_has_one_embedding(embed: Embed, tmp_path: Path) -> None:
    _, calls = embed(tmp_path, [*MANY[:16], MANY[3], *MANY[:5]])
    assert calls == 2
    assert embed.vectors[16].tobytes() == embed.vectors[3].tobytes()
    assert embed.vectors[17:].tobytes() == embed.vectors[:5].tobytes()


def test_damaged_and_exchanged_shards_are_made_again(embed: Embed, tmp_path: Path) -> None:
    whole, _ = embed(tmp_path)
    _, _, one, other, *_ = sorted(tmp_path.rglob("*.npy"))
    data = bytearray(one.read_bytes())
    data[-200] ^= 4
    one.write_bytes(data)
    assert embed(tmp_path) == (whole, 1)
    one.rename(tmp_path / "aside"), other.rename(one), (tmp_path / "aside").rename(other)
    assert embed(tmp_path) == (whole, 2)
    assert embed(tmp_path) == (whole, 0)
    (tmp_path / "file").write_text("in the way")  # of a folder, so that nothing can be kept
    assert embed(tmp_path / "file")[0] == whole


def test_dimension_that_changes_is_refused(encoder: Encoder, small_shards: None, tmp_path: Path) -> None:
    class Shrinking(DualEncoder):
        def encode_documents(self, texts: Sequence[str], on_batch: OnBatch | None = None) -> np.ndarray:
            return np.eye(len(texts), 4 if MANY[0] in texts else 5, dtype=np.float32)

    embeddings = Embeddings(Shrinking(encoder, encoder), "document", MANY, tmp_path, lambda count: None)
    with pytest.raises(BenchError, match=r"must return \(\d, \d\) float32, not \(\d, \d\) float32"):
        list(embeddings)


def test_folder_is_that_of_encoder_side_texts_and_threads(tmp_path: Path) -> None:
    def folder(encoder: Encoder, side: Side = "query", texts: Sequence[str] = MANY) -> Path:
        return Embeddings(DualEncoder(encoder, encoder), side, texts, tmp_path, lambda count: None).folder

    one, other = (make_encoder(seed=seed).freeze() for seed in (0, 1))
    sides: tuple[Side, ...] = ("query", "document")
    folders = {folder(each, side, texts) for each in (one, other) for side in sides for texts in (MANY, MANY[::-1])}
    assert len(folders) == 8
    assert folder(one.copy()) in folders
    torch.set_num_threads(2)  # each test begins with one
    assert folder(one) not in folders
