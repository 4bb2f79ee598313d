"""Off the shelf: another encoder, as its folder or the configuration describes it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import make_encoder

from bench.encoders.encoder import read_encoder
from bench.encoders.models import KNOWN
from bench.errors import BenchError
from bench.evaluation.retriever import DualEncoder
from bench.training.method import Task
from bench.training.teachers import fingerprint_of
from methods.off_the_shelf import OffTheShelf, OffTheShelfConfig

TEXTS = ["the cat saw a red house", "some bread"]


def fitted(task: Task, folder: Path | str, **settings: str) -> DualEncoder:
    return OffTheShelf(OffTheShelfConfig(encoder=str(folder), **settings)).fit(task)


def test_encoder_is_what_its_folder_says(make_task: Callable[..., Task], encoder_folder: Path) -> None:
    retriever, encoder = fitted(make_task(), encoder_folder), read_encoder(encoder_folder, "x")
    assert retriever.query_encoder is retriever.document_encoder
    assert retriever.query_encoder.fingerprint() == encoder.fingerprint()
    assert not any(parameter.requires_grad for parameter in retriever.query_encoder.parameters())


def test_prefixes_and_pooling_are_heeded(make_task: Callable[..., Task], encoder_folder: Path) -> None:
    given = {"query_prefix": "the cat ", "document_prefix": "some ", "pooling": "cls"}
    retriever = fitted(make_task(), encoder_folder, **given)
    plain = read_encoder(encoder_folder, "x")
    for encode, prefix in ((retriever.encode_queries, "the cat "), (retriever.encode_documents, "some ")):
        for text in TEXTS:
            batch = plain.collate(plain.tokenize([prefix + text], "query"))
            first = plain.token_embeddings(batch)[0, 0].detach().numpy()
            np.testing.assert_allclose(encode([text])[0], first / np.linalg.norm(first), atol=1e-6)


def test_prefix_can_be_taken_away(make_task: Callable[..., Task], tmp_path: Path) -> None:
    make_encoder(prompts={"query": "who ", "document": "it "}).save(tmp_path)
    assert fitted(make_task(), tmp_path).query_encoder.prompts == {"query": "who ", "document": "it "}
    bare = fitted(make_task(), tmp_path, query_prefix="").query_encoder
    assert bare.prompts == {"query": "", "document": "it "}


def test_known_encoder_has_its_authors_prefixes(
    make_task: Callable[..., Task], encoder_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.training.teachers.model_folder", lambda name, offline: encoder_folder)
    prompts = fitted(make_task(), OffTheShelfConfig().encoder).query_encoder.prompts
    assert prompts == {"query": "query: ", "document": "passage: "}
    assert KNOWN[OffTheShelfConfig().encoder].hub_id == "intfloat/multilingual-e5-small"


def test_only_its_name_is_kept_and_another_version_is_refused(
    make_task: Callable[..., Task], encoder_folder: Path, tmp_path: Path
) -> None:
    task, folder = make_task(), tmp_path / "encoder"
    shutil.copytree(encoder_folder, folder)
    method = OffTheShelf(OffTheShelfConfig(encoder=str(folder), query_prefix="the "))
    retriever = method.fit(task)
    retriever.save(tmp_path / "it", task.teacher)
    assert [path.name for path in (tmp_path / "it").iterdir()] == ["retriever.json"]
    loaded = OffTheShelf.load(tmp_path / "it", task.teacher)
    np.testing.assert_array_equal(loaded.encode_queries(TEXTS), retriever.encode_queries(TEXTS))
    before = [fingerprint_of(model, offline=True) for model in method.models]
    make_encoder(seed=1).save(folder)
    assert [fingerprint_of(model, offline=True) for model in method.models] != before
    with pytest.raises(BenchError, match="another version of the encoder"):
        OffTheShelf.load(tmp_path / "it", task.teacher)


@pytest.mark.parametrize(("name", "message"), [("no/where", "cannot be loaded from the hub"), ("nowhere", "neither a")])
def test_encoder_that_cannot_be_had_is_refused_in_one_line(name: str, message: str) -> None:
    (model,) = OffTheShelf(OffTheShelfConfig(encoder=name)).models
    with pytest.raises(BenchError, match=message) as error:
        fingerprint_of(model, offline=True)
    assert "\n" not in str(error.value)
