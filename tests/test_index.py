"""Approximate search against brute force in double precision: scores, recall, and what never changes."""

from collections.abc import Sequence
from pathlib import Path

import faiss
import numpy as np
import pytest
from test_retrieval import ids, unit_vectors

from bench.cli import main
from bench.encoders.encoder import Encoder
from bench.errors import BenchError
from bench.evaluation.embeddings import Embeddings
from bench.evaluation.index import approximate, make_index
from bench.evaluation.retrieval import search
from bench.evaluation.retriever import DualEncoder

QUERIES, DOCUMENTS, DIMENSION, DEPTH = 40, 600, 16, 20
INDEXES = ["HNSW8", "IVF16,Flat:nprobe=3", "IVF16,SQ8", "PQ8x4", "PCA8,Flat"]


@pytest.fixture(scope="module")
def vectors() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return unit_vectors(rng, QUERIES, DIMENSION), unit_vectors(rng, DOCUMENTS, DIMENSION)


@pytest.mark.parametrize("text", INDEXES)
def test_recall_is_that_against_brute_force(text: str, vectors: tuple[np.ndarray, np.ndarray]) -> None:
    queries, documents = vectors
    names = ids(QUERIES, DOCUMENTS)
    run, facts, size = approximate(text, queries, np.array_split(documents, 3), names, DEPTH)
    exact = queries.astype(np.float64) @ documents.astype(np.float64).T
    shares = []
    for row, query in enumerate(names.queries):
        nearest = {names.documents[i] for i in np.argsort(-exact[row])[:DEPTH]}
        shares.append(len(nearest & {document for document, _ in run[query]}) / DEPTH)
    assert facts["recall@20"] == pytest.approx(np.mean(shares), abs=1e-6)
    assert facts["queries"] == QUERIES
    assert 0 < facts["recall@20"] < 1
    assert size == len(faiss.serialize_index(_built(text, documents)))


def _built(text: str, documents: np.ndarray) -> faiss.Index:
    index = make_index(text, DIMENSION)
    index.train(documents)
    index.add(documents)
    return index


@pytest.mark.parametrize("text", ["HNSW8", "IVF16,Flat:nprobe=3", "NSG8", "L2norm,HNSW8"])
def test_scores_are_inner_products(text: str, vectors: tuple[np.ndarray, np.ndarray]) -> None:
    """The default metric of FAISS is the squared distance."""
    queries, documents = vectors
    names = ids(QUERIES, DOCUMENTS)
    run, _, _ = approximate(text, queries, [documents], names, DEPTH)
    for row, query in enumerate(names.queries):
        places = [int(document[1:]) for document, _ in run[query]]
        assert [score for _, score in run[query]] == pytest.approx(
            (documents[places] @ queries[row]).tolist(), abs=1e-6
        )
        assert places and np.all(np.diff([score for _, score in run[query]]) < 0)


@pytest.mark.parametrize("text", ["IVF16,Flat:nprobe=16", "HNSW16:efSearch=600"])
def test_an_index_that_reads_everything_is_exact(text: str, vectors: tuple[np.ndarray, np.ndarray]) -> None:
    queries, documents = vectors
    names = ids(QUERIES, DOCUMENTS)
    run, facts, _ = approximate(text, queries, [documents], names, DEPTH)
    exact = search(queries, [documents], names, DEPTH)
    assert facts["recall@20"] == 1
    for query in names.queries:
        assert [document for document, _ in run[query]] == [document for document, _ in exact[query]]


@pytest.mark.parametrize("text", INDEXES)
def test_two_calls_find_the_same(text: str, vectors: tuple[np.ndarray, np.ndarray]) -> None:
    """An index is built by one thread, and the setting of the process is left as it was."""
    queries, documents = vectors
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(2)
    calls = [approximate(text, queries, np.array_split(documents, 2), ids(QUERIES, DOCUMENTS), DEPTH) for _ in range(2)]
    assert faiss.omp_get_max_threads() == 2
    faiss.omp_set_num_threads(threads)
    assert calls[0] == calls[1]


def test_recall_is_measured_on_a_hundred_queries_and_fewer_results_count_as_missing() -> None:
    """Each document has three copies and is in one of the lists, of which one is read."""
    documents = np.repeat(np.eye(8, dtype=np.float32), 4, axis=0)
    queries = np.eye(8, dtype=np.float32)[np.random.default_rng(1).integers(0, 8, 250)]
    run, facts, _ = approximate("IVF8,Flat", queries, [documents], ids(250, 32), DEPTH)
    lengths = {len(ranking) for ranking in run.values()}
    assert min(lengths) / DEPTH <= facts["recall@20"] <= max(lengths) / DEPTH < 1
    assert facts["queries"] == 100


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("HNWS32", "could not parse index string HNWS32"),
        ("LSH", "metric == METRIC_L2"),
        ("IDMap,Flat", "cannot search documents by inner product"),
        ("PQ7", "multiple of the number of subquantizers"),
        ("IVF16,Flat:nprobes=2", "could not set parameter nprobes"),
        ("IVF16,Flat:nprobe=x", "could not interpret parameters nprobe=x"),
    ],
)
def test_bad_string_is_refused_in_one_line(text: str, reason: str) -> None:
    with pytest.raises(BenchError, match=f"^index '{text}'.*{reason}") as error:
        make_index(text)
    assert "cpp" not in str(error.value)


@pytest.mark.parametrize("text", ["HNWS32", "LSH", "", "HNSW 32", "Flat\n", "[" * 99, "x" * 101])
def test_bad_string_ends_the_call_at_its_start(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call = ["run", "--methods", "zero-shot", "--pairs", "qaa-eng", "--results", str(tmp_path / "results")]
    assert main([*call, "--index", text]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "index" in line
    assert not (tmp_path / "results").exists()


def test_embeddings_that_are_read_twice_count_once(teacher: Encoder, tmp_path: Path) -> None:
    counts: list[int] = []

    class Doubled(DualEncoder):
        def encode_documents(self, texts: Sequence[str], on_batch: object = None) -> np.ndarray:
            return 2 * super().encode_documents(texts, on_batch)

    texts = ["the cat", "the dog", "the cat"]
    documents = Embeddings(Doubled(teacher, teacher), "document", texts, tmp_path, counts.append)
    first, second = np.concatenate(list(documents)), np.concatenate(list(documents))
    assert np.array_equal(first, second)
    assert documents.unnormalised == 3
    assert sum(counts) == 2  # distinct texts
