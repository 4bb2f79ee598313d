"""Encoders by name: the tiny one is the same wherever it is made, and off the shelf is as its folder describes it."""

import itertools
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import Cli, make_encoder
from torch.nn.functional import normalize

from bench.data import TrainingData, conlang
from bench.encoders.encoder import Encoder
from bench.encoders.folders import read_encoder, save_encoder
from bench.encoders.models import KNOWN
from bench.errors import BenchError
from bench.evaluation.maxsim import maxsim
from bench.evaluation.retriever import DualEncoder
from bench.recipe import Budget
from bench.training import late_interaction, teachers
from bench.training.late_interaction import late_interaction_teacher, mean_maxsim
from bench.training.method import Task
from bench.training.teachers import fingerprint_of
from bench.training.tiny import _untrained, tiny_encoder
from methods.off_the_shelf import OffTheShelf, OffTheShelfConfig


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
    identity = teachers.Identity(encoder.fingerprint(), encoder.dimension)
    assert teachers.identity_if_known("tiny", offline=True) == identity
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
    assert [line.endswith("the encoder is trained again") for line in told] == [True]
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


TEXTS = ["the cat saw a red house", "some bread"]


def fitted(task: Task, folder: Path | str, **settings: str) -> DualEncoder:
    return OffTheShelf(OffTheShelfConfig(encoder=str(folder), **settings)).fit(task)


def test_encoder_is_what_its_folder_says_with_other_prefixes_and_pooling(
    make_task: Callable[..., Task], encoder_folder: Path
) -> None:
    plain, retriever = read_encoder(encoder_folder, "x"), fitted(make_task(), encoder_folder)
    assert retriever.query_encoder is retriever.document_encoder
    assert retriever.query_encoder.fingerprint() == plain.fingerprint()
    assert not any(parameter.requires_grad for parameter in retriever.query_encoder.parameters())
    given = {"query_prefix": "the cat ", "document_prefix": "some ", "pooling": "cls"}
    retriever = fitted(make_task(), encoder_folder, **given)
    for encode, prefix in ((retriever.encode_queries, "the cat "), (retriever.encode_documents, "some ")):
        for text in TEXTS:
            batch = plain.collate(plain.tokenize([prefix + text], "query"))
            first = plain.token_embeddings(batch)[0, 0].detach().numpy()
            np.testing.assert_allclose(encode([text])[0], first / np.linalg.norm(first), atol=1e-6)


def test_prefix_can_be_taken_away(make_task: Callable[..., Task], tmp_path: Path) -> None:
    save_encoder(make_encoder(prompts={"query": "who ", "document": "it "}), tmp_path)
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
    save_encoder(make_encoder(seed=1), folder)
    assert [fingerprint_of(model, offline=True) for model in method.models] != before
    with pytest.raises(BenchError, match="another version of the encoder"):
        OffTheShelf.load(tmp_path / "it", task.teacher)


@pytest.mark.parametrize(("name", "message"), [("no/where", "cannot be loaded from the hub"), ("nowhere", "neither a")])
def test_encoder_that_cannot_be_had_is_refused_in_one_line(name: str, message: str) -> None:
    (model,) = OffTheShelf(OffTheShelfConfig(encoder=name)).models
    with pytest.raises(BenchError, match=message) as error:
        fingerprint_of(model, offline=True)
    assert "\n" not in str(error.value)


def test_mean_maxsim_is_that_of_loops_over_all_tokens() -> None:
    rng = np.random.default_rng(0)
    (queries, in_query), (documents, in_document) = (
        (normalize(torch.from_numpy(rng.normal(size=(n, length, 8))).float(), dim=-1), rng.random((n, length)) < 0.7)
        for n, length in ((3, 5), (4, 6))
    )
    in_query[:, 0] = in_document[:, 0] = True
    found = mean_maxsim(queries, torch.from_numpy(in_query), documents, torch.from_numpy(in_document))
    for i, j in itertools.product(range(3), range(4)):
        nearest = [
            max(float(x @ y) for y, there in zip(documents[j], in_document[j], strict=True) if there)
            for x, here in zip(queries[i], in_query[i], strict=True)
            if here
        ]
        assert float(found[i, j]) == pytest.approx(np.mean(nearest), abs=1e-6)


def test_late_interaction_teacher_ranks_by_maxsim_better_than_its_start(
    data: TrainingData, monkeypatch: pytest.MonkeyPatch
) -> None:
    fast = {"learning_rate": 0.01, "embedding_learning_rate": 0.01}  # random weights learn nothing at usual rates
    monkeypatch.setattr(late_interaction, "RECIPE", late_interaction.RECIPE.model_copy(update=fast))
    start = make_encoder().freeze()
    before = start.fingerprint()
    trained, same = (late_interaction_teacher(start, data.relevance, Budget(60, "steps")) for _ in range(2))
    assert trained.fingerprint() == same.fingerprint() != start.fingerprint() == before
    texts = list(dict.fromkeys(data.relevance.positives))

    def found(encoder: Encoder) -> float:
        rankings = maxsim(DualEncoder(encoder, encoder), data.relevance.queries, texts, 1, lambda count: None)
        best = [texts[rows[0]] for rows, _ in next(iter(rankings))]
        return float(np.mean([text == own for text, own in zip(best, data.relevance.positives, strict=True)]))

    assert found(trained) > found(start) + 0.1


def test_command_writes_a_late_interaction_teacher_once(cli: Cli, encoder_folder: Path, tmp_path: Path) -> None:
    command = "new-teacher", tmp_path / "late", "--encoder", encoder_folder, "--train", "conlang"
    cli(*command, "--budget", "2steps", "--offline")
    assert read_encoder(tmp_path / "late", "late").fingerprint() != read_encoder(encoder_folder, "small").fingerprint()
    (line,) = cli(*command, code=2).lines
    assert "late exists already" in line
