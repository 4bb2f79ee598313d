"""The tiny encoder: the same wherever it is made, and better than what it was made from."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.data import conlang
from bench.encoders.encoder import Encoder
from bench.recipe import Budget
from bench.training import teachers
from bench.training.tiny import _untrained, tiny_encoder


def answered(encoder: Encoder) -> float:
    """The share of held-out questions whose nearest passage answers them, among as many passages."""
    relevance = conlang.relevance(conlang.ConlangOptions(seed=1))
    questions = encoder.encode(relevance.queries[:200], "query")
    passages = encoder.encode(relevance.positives[:200], "document")
    return float(np.mean((questions @ passages.T).argmax(axis=1) == np.arange(200)))


@pytest.mark.slow
def test_trained_encoder_is_the_same_wherever_it_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoders = []
    for name in ("one", "other"):
        monkeypatch.setenv("BENCH_HOME", str(tmp_path / name))
        encoders.append(tiny_encoder(tmp_path / name / "tiny"))
    assert encoders[0].fingerprint() == encoders[1].fingerprint()
    relevance = conlang.relevance()
    untrained = _untrained([*relevance.queries, *relevance.positives], 0)
    assert answered(encoders[0]) > max(0.5, 2 * answered(untrained))


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[int]:
    """The steps of each training of a tiny encoder of two steps in a cache of its own."""
    steps: list[int] = []
    monkeypatch.setenv("BENCH_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("bench.training.tiny.BUDGET", Budget(2, "steps"))
    return steps


def load(steps: list[int], told: list[str] | None = None) -> Encoder:
    return teachers.load_teacher(
        "tiny",
        torch.device("cpu"),
        offline=True,
        on_step=lambda record: steps.append(record["step"]),
        on_damage=(told if told is not None else []).append,
    )


def test_identity_is_known_once_it_is_trained(short: list[int]) -> None:
    assert teachers.identity_if_known("tiny", offline=True) is None
    encoder = load(short)
    assert short == [1, 2]
    assert teachers.identity_if_known("tiny", offline=True) == teachers.Identity(
        encoder.fingerprint(), encoder.dimension
    )
    assert teachers.identity_if_known("tiny-1", offline=True) is None
    assert teachers.fingerprint_of("tiny", offline=True) == encoder.fingerprint() == load(short).fingerprint()
    assert short == [1, 2]


@pytest.mark.parametrize("name", ["model.safetensors", "manifest.json", "1_Pooling/config.json"])
def test_damaged_encoder_is_trained_again(short: list[int], name: str) -> None:
    before = load(short).fingerprint()
    folder = teachers.tiny_folder(Path(os.environ["BENCH_HOME"]), 0)
    os.truncate(folder / name, (folder / name).stat().st_size - 3)
    assert teachers.identity_if_known("tiny", offline=True) is None
    told: list[str] = []
    assert load(short, told).fingerprint() == before
    assert short == [1, 2, 1, 2]
    assert len(told) == 1
    assert told[0].endswith("the encoder is trained again")
    assert load(short, told).fingerprint() == before
    assert (len(short), len(told)) == (4, 1)


def test_file_in_the_place_of_a_folder_costs_only_time(short: list[int], tmp_path: Path) -> None:
    folder = teachers.tiny_folder(tmp_path / "home", 0)
    folder.parent.mkdir(parents=True)
    folder.write_text("")
    told: list[str] = []
    stored = load(short, told).fingerprint()
    assert load(short, told).fingerprint() == stored
    assert (short, len(told)) == ([1, 2], 1)
    shutil.rmtree(tmp_path / "home")
    (tmp_path / "home").write_text("in the way")  # so that it cannot be stored
    assert load(short).fingerprint() == stored
    assert short == [1, 2, 1, 2]
