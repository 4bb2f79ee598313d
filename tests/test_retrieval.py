"""Search and MaxSim against brute force in double precision, and runs whose scores never tie."""

from collections.abc import Sequence
from itertools import pairwise, permutations

import faiss
import numpy as np
import pytest
import torch
from conftest import make_encoder
from hypothesis import given
from hypothesis import strategies as st

from bench.data import Ids, TestCollection
from bench.encoders.encoder import Encoder, Side
from bench.errors import BenchError
from bench.evaluation.maxsim import maxsim
from bench.evaluation.measures import score
from bench.evaluation.retrieval import best, count_unnormalised, search
from bench.evaluation.retriever import DualEncoder
from bench.evaluation.run import strictly_decreasing
from bench.evaluation.run_files import read_run, write_run


def unit_vectors(rng: np.random.Generator, count: int, dimension: int) -> np.ndarray:
    vectors = rng.standard_normal((count, dimension)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def ids(queries: int, documents: int) -> Ids:
    return Ids([f"q{i:03d}" for i in range(queries)], [f"d{i:04d}" for i in range(documents)])


@pytest.mark.parametrize("blocks", [1, 3])
@pytest.mark.parametrize(("queries", "documents", "dimension"), [(1, 5, 4), (30, 300, 16), (64, 1000, 32)])
def test_search_ranks_as_brute_force_does(queries: int, documents: int, dimension: int, blocks: int) -> None:
    rng = np.random.default_rng(documents)
    asked, corpus = unit_vectors(rng, queries, dimension), unit_vectors(rng, documents, dimension)
    names = ids(queries, documents)
    run = search(asked, np.array_split(corpus, blocks), names, depth=50)
    exact = asked.astype(np.float64) @ corpus.astype(np.float64).T
    for row, query in enumerate(names.queries):
        best = np.argsort(-exact[row])[:50]
        assert [document for document, _ in run[query]] == [names.documents[i] for i in best]
        assert np.allclose([value for _, value in run[query]], exact[row][best], atol=1e-6)


def test_search_on_a_gpu_gives_the_same_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU rounds differently, so here its scores are wrong and its nearest documents are right."""
    rng = np.random.default_rng(4)
    asked, corpus, names, used = unit_vectors(rng, 20, 16), unit_vectors(rng, 200, 16), ids(20, 200), []
    expected = search(asked, [corpus], names, depth=30)

    def knn_gpu(resources: str, *arrays: object, metric: int) -> tuple[np.ndarray, np.ndarray]:
        used.append(resources)
        scores, rows = faiss.knn(*arrays, metric=metric)
        return scores * 0, rows

    monkeypatch.setattr(faiss, "get_num_gpus", lambda: 1)
    monkeypatch.setattr(faiss, "StandardGpuResources", lambda: "resources", raising=False)
    monkeypatch.setattr(faiss, "knn_gpu", knn_gpu)
    assert search(asked, [corpus], names, depth=30) == expected
    assert used == ["resources"]


@pytest.mark.parametrize("blocks", [1, 3])
@pytest.mark.parametrize(("queries", "documents", "dimension"), [(3, 60, 8), (5, 101, 64), (400, 60, 384)])
def test_equal_documents_are_ordered_by_their_ids(queries: int, documents: int, dimension: int, blocks: int) -> None:
    """The same text has the same embedding wherever it lies in the corpus, so only its id may decide."""
    rng = np.random.default_rng(1)
    asked, corpus = unit_vectors(rng, queries, dimension), unit_vectors(rng, documents, dimension)
    half = documents // 2
    corpus[documents - half :] = corpus[:half]
    names = Ids(ids(queries, 0).queries, [f"d{i:04d}" for i in rng.permutation(documents)])
    run = search(asked, np.array_split(corpus, blocks), names, depth=documents)
    twins = [sorted((names.documents[i], names.documents[documents - half + i])) for i in range(half)]
    for query in names.queries:
        rank = {document: i for i, (document, _) in enumerate(run[query])}
        assert [rank[second] - rank[first] for first, second in twins] == [1] * half


@pytest.mark.parametrize("depth", [3, 100, 1000])
@pytest.mark.parametrize("starts", [[], [1], [5, 700, 701, 1400]], ids=["one-block", "two", "five"])
def test_ties_at_the_cut_are_kept_by_their_ids(depth: int, starts: list[int]) -> None:
    """Small whole numbers have exact products: each score is that of hundreds of documents, in all blocks."""
    rng = np.random.default_rng(5)
    asked, corpus = (rng.integers(-1, 2, size=(count, 3)).astype(np.float32) for count in (20, 2000))
    names = Ids(ids(20, 0).queries, [f"d{i}" for i in rng.permutation(2000)])
    run = search(asked, np.split(corpus, starts), names, depth=depth)
    for row, query in enumerate(names.queries):
        scores = dict(zip(names.documents, (corpus @ asked[row]).tolist(), strict=True))
        best = sorted(scores, key=lambda document: (-scores[document], document))[:depth]
        assert [document for document, _ in run[query]] == best


@pytest.mark.parametrize("side", ["query", "document"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_embedding_that_is_no_number_is_refused(side: str, value: float) -> None:
    rng = np.random.default_rng(3)
    vectors = {"query": unit_vectors(rng, 2, 4), "document": unit_vectors(rng, 3, 4)}
    vectors[side][1, 2] = value
    with pytest.raises(BenchError, match=f"a {side} embedding is not a number"):
        search(vectors["query"], [vectors["document"]], ids(2, 3), depth=3)


SCORE = st.floats(-1, 1, width=32)
NEIGHBOURS = st.builds(
    lambda value, steps: float(np.float32(value) + np.float32(steps) * np.spacing(np.float32(value))),
    SCORE,
    st.integers(-2, 2),
)
TIED = st.builds(lambda value, count: [value] * count, SCORE, st.integers(1, 50))


@given(st.one_of(st.lists(SCORE, max_size=50), st.lists(NEIGHBOURS, max_size=50), TIED))
def test_scores_strictly_decrease_as_float32(scores: list[float]) -> None:
    ranking = [(f"d{i:02d}", value) for i, value in enumerate(scores)]
    result = strictly_decreasing(ranking)
    values = [np.float32(value) for _, value in result]
    assert all(first > second for first, second in pairwise(values))
    ordered = sorted(ranking, key=lambda item: (-item[1], item[0]))
    assert [document for document, _ in result] == [document for document, _ in ordered]
    assert len(set(scores)) < len(scores) or result == ordered


@given(st.lists(NEIGHBOURS, max_size=20))
def test_run_read_back_has_the_same_float32_scores(tmp_path_factory: pytest.TempPathFactory, scores: list) -> None:
    folder = tmp_path_factory.mktemp("run")
    run = {name: strictly_decreasing([(f"d{i}", value) for i, value in enumerate(scores)]) for name in ("q1", "q0")}
    for name in ("a.gz", "b.gz"):
        write_run(folder / name, run, "tag")
    assert (folder / "a.gz").read_bytes() == (folder / "b.gz").read_bytes()
    found = read_run(folder / "a.gz")
    assert [*found] == [*run] if scores else not found
    for query, ranking in found.items():
        assert [(document, float(np.float32(value))) for document, value in ranking] == run[query]


@pytest.mark.parametrize("tied", [0.0, -0.25, 1.0])
def test_tied_scores_reach_no_measure(tied: float) -> None:
    """Every measure sees tied documents in the order of their ids."""
    relevant = {"q": {"b": 1, "d": 1}}  # of a b c d: ranks 2 and 4
    expected = {"RR@10": 1 / 2, "Success@1": 0.0, "P@2": 1 / 2, "AP@100": (1 / 2 + 2 / 4) / 2, "R@3": 1 / 2}
    expected["nDCG@10"] = (1 / np.log2(3) + 1 / np.log2(5)) / (1 + 1 / np.log2(3))
    for order in permutations("abcd"):
        run = {"q": strictly_decreasing([(document, tied) for document in order])}
        found = score(run, relevant, list(expected))
        assert {measure: values["q"] for measure, values in found.items()} == pytest.approx(expected)


def test_vectors_of_another_length_than_one_are_counted() -> None:
    vectors = unit_vectors(np.random.default_rng(0), 50, 384)
    assert count_unnormalised(vectors) == 0
    vectors[3] *= 1.001
    vectors[7] = 0
    assert count_unnormalised(vectors) == 2
    assert count_unnormalised(vectors[:0]) == 0


PROMPTS = {"query": "who saw: ", "document": "the old boat: "}


@torch.no_grad()
def tokens_of(encoder: Encoder, text: str, side: Side) -> np.ndarray:
    """L2-normalised embeddings of the tokens that lie in the text, by the tokenizer's own account of where they lie."""
    encoder.eval()
    prompt = encoder.prompts[side]
    given = encoder.tokenizer(
        prompt + text, return_tensors="pt", return_offsets_mapping=True, return_special_tokens_mask=True
    )
    hidden = encoder.transformer(input_ids=given["input_ids"]).last_hidden_state[0].double().numpy()
    starts, special = given["offset_mapping"][0, :, 0].numpy(), given["special_tokens_mask"][0].numpy()
    hidden = hidden[(special == 0) & (starts >= len(prompt))]
    return hidden / np.linalg.norm(hidden, axis=1, keepdims=True)


def by_hand(retriever: DualEncoder, queries: Sequence[str], documents: Sequence[str]) -> np.ndarray:
    """Scores of all pairs, (n_queries, n_documents) float64."""
    corpus = [tokens_of(retriever.document_encoder, text, "document") for text in documents]
    asked = [tokens_of(retriever.query_encoder, text, "query") for text in queries]
    return np.array([[(query @ document.T).max(axis=1).sum() for document in corpus] for query in asked])


def scores(retriever: DualEncoder, queries: Sequence[str], documents: Sequence[str]) -> np.ndarray:
    """The same by `maxsim`, all of them, float32."""
    found = np.full((len(queries), len(documents)), np.nan, dtype=np.float32)
    for block in maxsim(retriever, queries, documents, len(documents), lambda count: None):
        for row, (columns, values) in zip(found, block, strict=True):
            row[columns] = values
    return found


@pytest.fixture
def retriever(teacher: Encoder, collection: TestCollection) -> DualEncoder:
    """Two encoders with word pieces and prompts of their own; the student is left as training leaves it."""
    student = make_encoder(collection.queries, seed=3, prompts=PROMPTS).train()
    for module in student.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.5
    return DualEncoder(student, make_encoder(seed=4, prompts=PROMPTS))


@pytest.mark.parametrize("block", [7, 100])
def test_ranking_is_that_of_brute_force(
    retriever: DualEncoder, collection: TestCollection, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.evaluation.maxsim.BLOCK", block)
    monkeypatch.setattr("bench.evaluation.maxsim.BATCH", 3)
    read: list[int] = []
    sizes: list[int] = []
    names = Ids(collection.query_ids, collection.document_ids)
    found = maxsim(retriever, collection.queries, collection.documents, 10, read.append, sizes.append)
    run = best(found, names, 10)
    exact = by_hand(retriever, collection.queries, collection.documents)
    for query, row in zip(collection.query_ids, exact, strict=True):
        order = np.argsort(-row)[:10]
        assert [document for document, _ in run[query]] == [collection.document_ids[i] for i in order]
        assert [value for _, value in run[query]] == pytest.approx(row[order].tolist(), abs=1e-5)
    assert sum(read) == len(collection.queries) + len(collection.documents)
    texts = dict.fromkeys(collection.documents)
    assert sum(sizes) == 4 * sum(tokens_of(retriever.document_encoder, text, "document").size for text in texts)


def test_equal_texts_have_equal_scores(retriever: DualEncoder, collection: TestCollection) -> None:
    """Padding and the order of sums may change the last digit."""
    documents = [*collection.documents, *collection.documents[::-1]]
    found = scores(retriever, [*collection.queries, *collection.queries], documents)
    assert np.array_equal(found[:, :40], found[:, :39:-1])
    assert np.array_equal(found[:20], found[20:])
    names = Ids(["q"], [f"d{i:02d}" for i in range(80)])
    (ranking,) = best(maxsim(retriever, collection.queries[:1], documents, 80, lambda count: None), names, 80).values()
    ids = [int(document[1:]) for document, _ in ranking]
    assert all(first + second == 79 and first < second for first, second in zip(ids[::2], ids[1::2], strict=True))


def test_text_without_tokens_is_last_and_asks_for_nothing(retriever: DualEncoder) -> None:
    found = scores(retriever, ["", "ehté taceé"], ["the cat", "", "the dog"])
    assert found[0].tolist() == [0, 0, 0]
    assert found[1, 1] == -len(tokens_of(retriever.query_encoder, "ehté taceé", "query")) < found[1].max()
    assert found[1].argmin() == 1


@pytest.mark.parametrize("side", ["query", "document"])
def test_token_embedding_that_is_no_number_is_refused(retriever: DualEncoder, side: Side) -> None:
    with torch.no_grad():
        getattr(retriever, f"{side}_encoder").word_embeddings.weight.fill_(torch.nan)
    with pytest.raises(BenchError, match=f"a {side} embedding is not a number"):
        scores(retriever, ["ehté taceé"], ["the cat"])
