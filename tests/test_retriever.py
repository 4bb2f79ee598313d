from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import make_encoder

from bench.encoders.encoder import Encoder
from bench.errors import BenchError
from bench.evaluation.retriever import DualEncoder

TEXTS = ["the cat saw a red house", "the dog", "some bread"]


@pytest.fixture
def encoders(
    teacher: Encoder,
) -> dict[str, Encoder]:
    return {"teacher": teacher, "student": make_encoder(seed=1), "other": make_encoder(seed=2, pooling="cls")}


@pytest.mark.parametrize(
    ("query", "document", "folders"),
    [
        ("teacher", "teacher", set()),
        ("student", "teacher", {"query"}),
        ("teacher", "student", {"document"}),
        ("student", "student", {"query"}),
        ("student", "other", {"query", "document"}),
    ],
)
def test_saved_retriever_is_read_back_the_same(
    encoders: dict[str, Encoder], tmp_path: Path, query: str, document: str, folders: set[str]
) -> None:
    teacher = encoders["teacher"]
    retriever = DualEncoder(encoders[query], encoders[document])
    retriever.save(tmp_path / "saved", teacher)
    found = DualEncoder.load(tmp_path / "saved", teacher)
    assert {path.name for path in (tmp_path / "saved").iterdir() if path.is_dir()} == folders
    files = [path for path in (tmp_path / "saved").rglob("*") if path.is_file()]
    assert {path.suffix for path in files} <= {".safetensors", ".json", ".txt"}  # no pickles
    for side in ("query", "document"):
        one, other = getattr(found, f"{side}_encoder"), getattr(retriever, f"{side}_encoder")
        assert one.fingerprint() == other.fingerprint()
        assert np.array_equal(one.encode(TEXTS, side), other.encode(TEXTS, side))
        assert (one is teacher) == (other is teacher)
        assert not one.training
    assert (found.query_encoder is found.document_encoder) == (query == document)


def test_retriever_of_another_teacher_is_refused(encoders: dict[str, Encoder], tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="holds no retriever"):
        DualEncoder.load(tmp_path, encoders["teacher"])
    DualEncoder(encoders["student"], encoders["teacher"]).save(tmp_path, encoders["teacher"])
    equal = make_encoder().freeze()
    assert DualEncoder.load(tmp_path, equal).document_encoder is equal
    with pytest.raises(BenchError, match="was made with another teacher"):
        DualEncoder.load(tmp_path, make_encoder(seed=5).freeze())
