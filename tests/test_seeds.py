from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch

from bench.training.sampling import numpy_generator, torch_generator


def draws(seed: int, purpose: str) -> tuple[list[float], list[float]]:
    return (
        numpy_generator(seed, purpose).random(4).tolist(),
        torch.rand(4, generator=torch_generator(seed, purpose)).tolist(),
    )


def test_same_seed_and_purpose_give_the_same_draws() -> None:
    assert draws(0, "batches") == draws(0, "batches")


@pytest.mark.parametrize("other", [(1, "batches"), (0, "vocabulary"), (0, "batches ")])
def test_other_seed_or_purpose_gives_other_draws(other: tuple[int, str]) -> None:
    numbers, tensors = draws(0, "batches")
    other_numbers, other_tensors = draws(*other)
    assert numbers != other_numbers
    assert tensors != other_tensors


def test_draws_are_the_same_in_another_process() -> None:
    """Unlike `hash`, which is seeded anew in each."""
    code = "from bench.training.sampling import numpy_generator; print(numpy_generator(3, 'probe').integers(2**60))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert int(found) == numpy_generator(3, "probe").integers(2**60)


def test_purposes_are_uncorrelated() -> None:
    one, other = (numpy_generator(0, purpose).standard_normal(10_000) for purpose in ("a", "b"))
    assert abs(np.corrcoef(one, other)[0, 1]) < 0.05


def test_global_generators_are_left_alone() -> None:
    before = torch.get_rng_state(), np.random.get_state()[1].tolist()  # noqa: NPY002
    draws(0, "batches")
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.random.get_state()[1].tolist() == before[1]  # noqa: NPY002
