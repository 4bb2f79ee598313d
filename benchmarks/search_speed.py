"""Time exact search against FAISS' IndexFlatIP, and approximate against exact search, on embeddings of texts.

    BENCH_MIRROR=path/to/mirror python benchmarks/search_speed.py [DOCUMENTS [QUERIES [LONGEST]]]

prints a table and writes it to `results/speed/` (`benchmarks/timing.py`). The texts are a random sample of the English
sentences of the mirror's collections, of LONGEST characters at most, encoded by all-MiniLM-L6-v2 (many minutes, but
once: the embeddings stay in the cache). Without a mirror they are generated and encoded by the tiny encoder, and no
speed is required. All functions have one thread. Approximate indexes are built before. Exact search by FAISS includes
adding documents to its index.
"""

import os
import random
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import faiss
import numpy as np
import torch
from corpus_size import Passages
from timing import compare, report

from bench.data import Ids
from bench.data.cards import IR_DATASETS, load_cards
from bench.data.files import Resolver
from bench.data.loading import available, load_rows, load_test
from bench.errors import BenchError
from bench.evaluation.embeddings import BLOCK, Embeddings
from bench.evaluation.index import make_index, nearest
from bench.evaluation.retrieval import search
from bench.evaluation.retriever import DualEncoder
from bench.evaluation.run import Run
from bench.results.store import EMBEDDINGS
from bench.storage.sealed import default_cache
from bench.system.machine import prepare_libraries
from bench.training.teachers import load_teacher

DEPTH = 100
FEW_QUERIES = 128_000
"""The default of FAISS 1.15 for a setting that `bench.evaluation.retrieval` changes."""
INDEXES = {"HNSW32:efSearch=128": 1.0, "IVF512,PQ{half}x4fs,RFlat:nprobe=96,k_factor_rf=3": 5.0}
"""Approximate indexes, with half of the dimension, and the speed that is required of them against exact search in two
blocks of documents. Exact search of fewer is too fast for that.
"""
RECALL = 0.95
"""The recall that is required of them, too."""


def english(mirror: Path) -> Iterator[str]:
    """Yield the English texts of the collections in a mirror."""
    cards, resolver = load_cards(), Resolver(mirror, offline=True)
    for card in cards.values():
        for role in ("test", "relevance", "bitext"):
            for pair in () if card.generated or card.source == IR_DATASETS else card.pairs(role):
                if pair.document == "eng" and available(card, role, pair, resolver, cards):
                    with suppress(BenchError):
                        if role == "test":
                            yield from load_test(card, pair, resolver, cards).documents
                        else:
                            yield from load_rows(card, role, pair, resolver).columns[1]


def sample(count: int, longest: int) -> tuple[str, list[str]]:
    """Return the name of an encoder, and as many different texts for it, or all that there are."""
    mirror = os.environ.get("BENCH_MIRROR")
    texts = english(Path(mirror)) if mirror else Passages(count)[:]
    distinct = sorted({text for text in texts if len(text) <= longest})
    chosen = random.Random(0).sample(distinct, min(count, len(distinct)))
    return "all-MiniLM-L6-v2" if mirror else "tiny", chosen


def recall(found: Run, exact: Run) -> float:
    """Return the share of the documents of exact search that are found."""
    return float(np.mean([len(dict(found[query]).keys() & dict(exact[query])) / DEPTH for query in exact]))


def main(documents: int = 2 * BLOCK, queries: int = 1_000, longest: int = 150) -> int:
    """Time all searches, and return the exit code: 1 if a speed or a recall is below the required one."""
    prepare_libraries(offline=True, threads=1)
    name, texts = sample(documents + queries, longest)
    teacher = load_teacher(name, torch.device("cpu"), offline=True)
    folder = default_cache() / EMBEDDINGS
    encoded = Embeddings(DualEncoder(teacher, teacher), "document", texts, folder, lambda count: None)
    vectors = np.concatenate(list(encoded))
    asked, corpus = vectors[:queries], vectors[queries:]
    ids = Ids([f"q{i}" for i in range(queries)], [f"d{i}" for i in range(len(corpus))])
    blocks = np.split(corpus, range(BLOCK, len(corpus), BLOCK))
    rows, real = [], name != "tiny"
    large = real and len(corpus) > BLOCK
    for some in (queries, min(queries, 100)):

        def flat(some: int = some) -> object:
            faiss.cvar.distance_compute_blas_threshold = FEW_QUERIES
            index = faiss.IndexFlatIP(corpus.shape[1])
            index.add(corpus)
            return index.search(asked[:some], DEPTH)

        def exact(some: int = some) -> Run:
            faiss.cvar.distance_compute_blas_threshold = 1
            return search(asked[:some], blocks, Ids(ids.queries[:some], ids.documents), DEPTH)

        work = f"exact search, {some:,} queries, {len(corpus):,} x {corpus.shape[1]} embeddings by {name}"
        rows.append(compare(work, exact, "FAISS IndexFlatIP", flat, least=0.95 * real))

    def exact_search() -> Run:
        return search(asked, blocks, ids, DEPTH)

    faiss.cvar.distance_compute_blas_threshold, truth, recalls = 1, exact_search(), []
    for pattern, least in INDEXES.items():
        text = pattern.format(half=corpus.shape[1] // 2)
        index = make_index(text, corpus.shape[1])
        index.train(corpus)
        index.add(corpus)

        def indexed(index: faiss.Index = index) -> Run:
            return nearest(index, asked, ids, DEPTH)

        recalls.append(recall(indexed(), truth))
        facts = {f"recall@{DEPTH}": round(recalls[-1], 3)}
        rows.append(compare(f"index {text}", indexed, "exact search", exact_search, least=least * large, **facts))
    return max(report("search_speed", rows), int(large and min(recalls) < RECALL))


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
