"""Peak memory of evaluating the tiny encoder on a corpus of generated passages, none of which is kept.

    python benchmarks/flat_memory.py 200000
    python benchmarks/flat_memory.py 1000000 --dimension 384 --index Flat

The second evaluates random vectors of that dimension, one per text, instead of those of the tiny encoder. Each command
prints the number of documents, the seconds and the peak of resident memory; give each size a process of its own. What
grows with the corpus is ids, their order, and the embeddings in the folder for temporary files, of the tiny encoder
512 bytes per document. An approximate index is in memory as a whole.
"""

import argparse
import random
import tempfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench.data import Pair, TestCollection, conlang
from bench.evaluation.evaluate import evaluate
from bench.evaluation.retriever import DualEncoder, OnBatch
from bench.running.cost import Meter
from bench.system.machine import prepare_libraries
from bench.training.teachers import load_teacher


class Passages(Sequence[str]):
    """Passage i is made from i whenever it is asked for: 3 to 7 words of the generated world's English."""

    def __init__(self, count: int) -> None:
        self.rows = range(count)
        texts = conlang.relevance(conlang.ConlangOptions()).positives
        self.words = sorted({word for text in texts for word in text.split()})

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, key: Any) -> Any:
        return [*map(self._passage, self.rows[key])] if isinstance(key, slice) else self._passage(self.rows[key])

    def _passage(self, row: int) -> str:
        rng = random.Random(row)
        return " ".join(rng.choices(self.words, k=rng.randint(3, 7)))


@dataclass(frozen=True)
class RandomVectors(DualEncoder):
    """Encodes a text as a random vector that depends on the text only."""

    dimension: int

    def encode_queries(self, texts: Sequence[str], on_batch: OnBatch | None = None) -> np.ndarray:
        """Return unit vectors, (n, dimension) float32."""
        vectors = np.empty((len(texts), self.dimension), dtype=np.float32)
        for row, text in zip(vectors, texts, strict=True):
            row[:] = np.random.default_rng(zlib.crc32(text.encode())).standard_normal(self.dimension, dtype=np.float32)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    encode_documents = encode_queries


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("documents", type=int)
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--dimension", type=int)
    parser.add_argument("--index", default="Flat")
    arguments = parser.parse_args()
    prepare_libraries(offline=True, threads=1)
    passages = Passages(arguments.documents)
    test = TestCollection(
        name="passages",
        pair=Pair("eng", "eng"),
        query_ids=tuple(f"q{i}" for i in range(arguments.queries)),
        queries=tuple(passages[: arguments.queries]),
        document_ids=tuple(f"d{i}" for i in range(arguments.documents)),
        documents=passages,
        qrels={f"q{i}": {f"d{i}": 1} for i in range(arguments.queries)},
    )
    teacher = load_teacher("tiny", torch.device("cpu"), offline=True)
    dimension, index = arguments.dimension, arguments.index if arguments.index != "Flat" else ""
    retriever = RandomVectors(teacher, teacher, dimension) if dimension else DualEncoder(teacher, teacher)
    with tempfile.TemporaryDirectory() as folder, Meter() as meter:
        places = {"cache": Path(folder), "scratch": Path(folder)}
        run = evaluate(retriever, test, oracle=False, index=index, **places).run
    found = sum(ranking[0][0] == f"d{query[1:]}" for query, ranking in run.items())
    print(
        f"{arguments.documents:,} documents, {meter.seconds:.0f} s, {meter.memory_mib:.0f} MiB at peak; "
        f"{found} of {arguments.queries} passages found by themselves"
    )


if __name__ == "__main__":
    main()
