"""Independent random generators, each derived from the seed of a training and the purpose it serves."""

from __future__ import annotations

import hashlib

import numpy as np
import torch


def _child(seed: int, purpose: str) -> np.random.SeedSequence:
    words = np.frombuffer(hashlib.sha256(purpose.encode()).digest()[:16], dtype=np.uint32)
    return np.random.SeedSequence([seed, *words.tolist()])


def numpy_generator(seed: int, purpose: str) -> np.random.Generator:
    """A generator that depends on `seed` and `purpose` alone, so that a new consumer never shifts another's draws."""
    return np.random.default_rng(_child(seed, purpose))


def torch_generator(seed: int, purpose: str) -> torch.Generator:
    """The same for torch, on the CPU."""
    return torch.Generator().manual_seed(int(_child(seed, purpose).generate_state(1, np.uint64)[0] >> 1))
