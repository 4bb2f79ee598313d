"""Time and memory of an evaluation against the size of its corpus, measured, fitted and extrapolated.

    python benchmarks/corpus_size.py 10000 100000 1000000
    python benchmarks/corpus_size.py 1000000 --dimension 384 --index HNSW32

Each size has a process of its own, with one thread. The passages are generated and not kept, and the tiny encoder
encodes them. With `--dimension`, random vectors of that dimension replace its embeddings. A command with several sizes
fits time by powers of the size and memory by a line, extrapolates them to 100 million passages, and writes a table and
a plot to `results/speed/`. Memory grows by ids and their order. Exact search reads the embeddings from files, block by
block. An approximate index is in memory as a whole.
"""

import argparse
import random
import tempfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from timing import FOLDER

from bench.data import Pair, TestCollection, conlang
from bench.evaluation.evaluate import evaluate
from bench.evaluation.retriever import DualEncoder, OnBatch
from bench.evaluation.tasks import score
from bench.report.tables import markdown_table
from bench.results.provenance import provenance
from bench.running.cost import Meter
from bench.system.machine import prepare_libraries
from bench.system.processes import Worker
from bench.tables import print_table
from bench.training.teachers import load_teacher

STAGES = ("encode_documents", "search", "score", "all")
"""Stages whose seconds are reported; `all` includes reading ids and queries."""
MEMORY = "memory, MiB"
EXTRAPOLATED = 100_000_000


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


def measure(documents: int, queries: int, dimension: int | None, index: str) -> dict[str, float]:
    """Return seconds of each stage, and the peak of resident memory, of this process in MiB."""
    prepare_libraries(offline=True, threads=1)
    passages = Passages(documents)
    test = TestCollection(
        name="passages",
        pair=Pair("eng", "eng"),
        query_ids=tuple(f"q{i}" for i in range(queries)),
        queries=tuple(passages[:queries]),
        document_ids=tuple(f"d{i}" for i in range(documents)),
        documents=passages,
        qrels={f"q{i}": {f"d{i}": 1} for i in range(queries)},
    )
    teacher = load_teacher("tiny", torch.device("cpu"), offline=True)
    retriever = RandomVectors(teacher, teacher, dimension) if dimension else DualEncoder(teacher, teacher)
    with tempfile.TemporaryDirectory() as folder, Meter() as meter:
        places = {"cache": Path(folder), "scratch": Path(folder)}
        evaluation = evaluate(retriever, test, oracle=False, index=index, **places)
        before = meter.seconds
        scores = score(evaluation.run, test, ["nDCG@10", "R@100"])
        seconds = meter.seconds
    stages = {name: evaluation.seconds[name] for name in ("encode_documents", "search")}
    found = fmean(scores["R@100"].values())
    return {**stages, "score": seconds - before, "all": seconds, "memory, MiB": meter.memory_mib, "R@100": found}


def fitted(sizes: Sequence[int], name: str, values: Sequence[float]) -> tuple[str, float]:
    """Return the growth of a column with the size, and its value for `EXTRAPOLATED`."""
    if name == MEMORY:
        slope, constant = np.polyfit(sizes, values, 1)
        return f"{slope * 2**20:.0f} bytes each", float(constant + slope * EXTRAPOLATED)
    exponent, constant = np.polyfit(np.log(sizes), np.log(values), 1)
    return f"size ^ {exponent:.2f}", float(np.exp(constant + exponent * np.log(EXTRAPOLATED)))


def plot(sizes: Sequence[int], rows: Sequence[dict[str, float]], path: Path) -> None:
    """Draw time and memory against the size, on logarithmic axes."""
    figure = Figure(figsize=(7, 3), layout="constrained")
    left, right = figure.subplots(1, 2)
    for name in STAGES:
        left.loglog(sizes, [row[name] for row in rows], marker="o", label=name)
    left.legend()
    right.loglog(sizes, [row[MEMORY] for row in rows], marker="o")
    for axes, label in ((left, "seconds, one thread"), (right, "peak memory, MiB")):
        axes.set(xlabel="passages", ylabel=label)
    figure.savefig(path, dpi=150, metadata={"Software": None})


def main() -> None:
    """Measure all sizes; write table and plot for several."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("documents", type=int, nargs="+")
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--dimension", type=int)
    parser.add_argument("--index", default="")
    arguments = parser.parse_args()
    sizes, rows = sorted(arguments.documents), []
    for size in sizes:
        with Worker() as worker:
            rows.append(worker.run(measure, size, arguments.queries, arguments.dimension, arguments.index))
    table = pd.DataFrame(rows, columns=[*STAGES, MEMORY, "R@100"]).map(
        lambda value: f"{value:,.3g}" if value < 100 else f"{value:,.0f}"
    )
    table.insert(0, "passages", [f"{size:,}" for size in sizes])
    if len(sizes) > 1:
        fits = {name: fitted(sizes, name, [row[name] for row in rows]) for name in (*STAGES, MEMORY)}
        extrapolated = {name: f"{value:,.0f}" for name, (_, value) in fits.items()}
        last = [
            {"passages": "growth", **{name: growth for name, (growth, _) in fits.items()}},
            {"passages": f"{EXTRAPOLATED:,} (extrapolated)", **extrapolated},
        ]
        table = pd.concat([table, pd.DataFrame(last)]).fillna("")
        about = provenance()
        source = f"`python benchmarks/{about['command']}`; {about['processor_model']}, one thread"
        source += f"; {arguments.queries:,} queries"
        FOLDER.mkdir(parents=True, exist_ok=True)
        (FOLDER / "corpus_size.md").write_text(f"{markdown_table(table)}\n\n{source}\n", encoding="utf-8")
        plot(sizes, rows, FOLDER / "corpus_size.png")
    print_table(list(table.columns), table.values.tolist(), right=list(table.columns))


if __name__ == "__main__":
    main()
