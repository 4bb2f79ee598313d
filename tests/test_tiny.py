"""The tiny encoder: the same wherever it is made, and better than what it was made from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench import conlang
from bench.encoders.encoder import Encoder
from bench.encoders.tiny import _untrained, tiny_encoder


def test_untrained_encoder_is_the_same_every_time() -> None:
    texts = list(conlang.relevance().queries[:200])
    calls = [(texts, 0), (texts, 0), (texts[:100], 0), (texts, 1)]
    one, same, *others = (_untrained(some, seed).fingerprint() for some, seed in calls)
    assert one == same
    assert len({one, *others}) == 3


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
        encoders.append(tiny_encoder(tmp_path / name))
    assert encoders[0].fingerprint() == encoders[1].fingerprint()
    assert tiny_encoder(tmp_path / "one").fingerprint() == encoders[0].fingerprint()  # from the cache
    assert len(list((tmp_path / "one" / "encoders").iterdir())) == 1
    relevance = conlang.relevance()
    untrained = _untrained([*relevance.queries, *relevance.positives], 0)
    assert answered(encoders[0]) > max(0.5, 2 * answered(untrained))
