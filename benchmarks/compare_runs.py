"""Measure the time of `bench compare` for two TREC runs of 10,000 queries with 1,000 documents, and 10,000 samples.

python benchmarks/compare_runs.py [QUERIES [DOCUMENTS]]
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np


def main(queries: int = 10_000, documents: int = 1_000) -> None:
    """Write two runs and judgments, compare them, and print the seconds that took."""
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        qrels, runs = Path(folder) / "qrels.txt", [Path(folder) / name for name in ("one.trec", "other.trec")]
        with qrels.open("w") as file:
            for query in range(queries):
                file.write(f"q{query} 0 d{query * 7} 1\n")
        for shift, path in enumerate(runs):
            with path.open("w") as file:
                for query in range(queries):
                    ranked = [f"d{number}" for number in rng.integers(10**7, 10**9, documents)]
                    ranked[int(min(rng.lognormal(2 + shift / 10, 2), documents - 1))] = f"d{query * 7}"
                    unique = dict.fromkeys(ranked)
                    file.writelines(
                        f"q{query} Q0 {document} {rank} {1000 - rank / 10:.3f} tag\n"
                        for rank, document in enumerate(unique, start=1)
                    )
        command = ["bench", "compare", *map(str, runs), "--qrels", str(qrels), "--measures", "nDCG@10,R@1000"]
        started = time.perf_counter()
        subprocess.run(command, check=True)
        print(f"{time.perf_counter() - started:.0f} s for 2 x {queries:,} queries x {documents:,} documents")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
