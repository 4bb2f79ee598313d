"""Peak memory of evaluating the tiny encoder on a corpus of generated passages, none of which is kept.

    python benchmarks/flat_memory.py 200000

prints the number of documents, the seconds and the peak of resident memory; give each size a process of its own. What
grows with the corpus is ids, their order, and 512 bytes of embeddings per document in the folder for temporary files.
"""

import argparse
import random
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from bench.data import Pair, TestCollection, conlang
from bench.evaluation.evaluate import evaluate
from bench.evaluation.retriever import Retriever
from bench.running.cost import Meter
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("documents", type=int)
    parser.add_argument("--queries", type=int, default=100)
    arguments = parser.parse_args()
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
    with tempfile.TemporaryDirectory() as folder, Meter() as meter:
        run = evaluate(Retriever(teacher, teacher), test, oracle=False, cache=Path(folder), scratch=Path(folder)).run
    found = sum(ranking[0][0] == f"d{query[1:]}" for query, ranking in run.items())
    print(
        f"{arguments.documents:,} documents, {meter.seconds:.0f} s, {meter.memory_mib:.0f} MiB at peak; "
        f"{found} of {arguments.queries} passages found by themselves"
    )


if __name__ == "__main__":
    main()
