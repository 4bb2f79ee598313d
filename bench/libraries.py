"""How the libraries that compute are set up, before they are imported or first used."""

from __future__ import annotations

import os


def prepare_libraries(*, offline: bool, threads: int | None) -> None:
    """Settings that libraries read when they are imported, and the number of threads."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    if offline:
        os.environ["HF_HUB_OFFLINE"] = "1"
    if threads is not None:
        import faiss
        import torch

        torch.set_num_threads(threads)
        faiss.omp_set_num_threads(threads)
