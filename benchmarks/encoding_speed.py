"""Time the encoding of passages by all-MiniLM-L6-v2 against sentence-transformers.

    BENCH_MIRROR=FOLDER python benchmarks/encoding_speed.py [PASSAGES]     # of AfriQA's corpus
    python benchmarks/encoding_speed.py [PASSAGES]                         # without a mirror: generated passages

prints a table and writes it to `results/speed/` (`benchmarks/timing.py`). The encoder needs the extra `offline`, or a
download. Each row states the least cosine of an embedding to that of sentence-transformers in float32.
"""

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from timing import compare, report

from bench.data import Pair, conlang
from bench.data.cards import load_cards
from bench.data.files import Resolver
from bench.data.loading import load_judged
from bench.encoders.encoder import autocast
from bench.encoders.models import model_folder
from bench.system.machine import prepare_libraries
from bench.training.teachers import load_teacher

MODEL = "all-MiniLM-L6-v2"


def passages(count: int) -> list[str]:
    """Return the first passages of AfriQA's corpus, or generated ones of about as many words."""
    if mirror := os.environ.get("BENCH_MIRROR"):
        test = load_judged(load_cards()["afriqa"], Pair("swh", "eng"), Resolver(mirror=Path(mirror), offline=True))
        return list(test.documents[:count])
    words = " ".join(conlang.relevance(conlang.ConlangOptions()).positives).split()
    rng = np.random.default_rng(0)
    return [" ".join(rng.choice(words, size)) for size in rng.integers(60, 130, count)]


def main(count: int = 2000) -> int:
    """Encode in both precisions; return the exit code."""
    prepare_libraries(offline=True, threads=1)
    texts, folder = passages(count), str(model_folder(MODEL, offline=True))
    encoder = load_teacher(MODEL, torch.device("cpu"), offline=True)
    default = SentenceTransformer(folder, device="cpu")
    halved = SentenceTransformer(folder, device="cpu", model_kwargs={"dtype": torch.bfloat16})

    def ours(precision: str) -> np.ndarray:
        with autocast(encoder.device, precision):
            return encoder.encode(texts, "document")

    def theirs(model: Any) -> np.ndarray:
        vectors: np.ndarray = model.encode(texts, normalize_embeddings=True, show_progress_bar=False)
        return vectors

    expected, rows = theirs(default), []
    for precision, peer, model, least in (
        ("bfloat16", "sentence-transformers", default, 2.5),
        ("bfloat16", "sentence-transformers in bfloat16", halved, 1.2),
        ("float32", "sentence-transformers", default, 1.0),
    ):
        cosine = float((ours(precision) * expected).sum(axis=1).min())
        rows.append(
            compare(
                f"encode {len(texts):,} passages in {precision}",
                lambda precision=precision: ours(precision),
                peer,
                lambda model=model: theirs(model),
                least=least,
                cosine=f"{cosine:.5f}",
            )
        )
    return report("encoding_speed", rows)


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
