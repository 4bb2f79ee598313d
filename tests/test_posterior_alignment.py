"""Posterior alignment: the loss worked out one sentence at a time, what it samples, and what training may change."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

import numpy as np
import ot
import pytest
import torch

from bench.encoders.encoder import Encoder
from bench.training.method import Task
from methods.divergence import imq_mmd
from methods.posterior_alignment import Posterior, PosteriorAlignment, PosteriorAlignmentConfig

MakeTask = Callable[..., Task]


def prepare(make_task: MakeTask, **config: object) -> PosteriorAlignment:
    task, method = make_task(), PosteriorAlignment(PosteriorAlignmentConfig(**config))
    method.prepare(task, task.make_student())
    return method


def tokens_of(encoder: Encoder, texts: list[str], side: str) -> list[np.ndarray]:
    """The token embeddings of each text, read alone and so without padding, in units of their mean's length."""
    found = []
    for ids in encoder.tokenize(texts, side):  # type: ignore[arg-type]
        with torch.no_grad():
            tokens = encoder.token_embeddings(encoder.collate([ids]))[0].double().numpy()
        found.append(tokens / np.linalg.norm(tokens.mean(axis=0)))
    return found


ROWS = {
    "relevance": np.array([5, 9]),
    "pairs": np.array([3, 24, 120]),
    "english": np.array([0, 24, 77, 149]),  # of different lengths, so that all but the longest are padded
    "target": np.array([8, 140]),
}


@pytest.mark.parametrize("documents", ["teacher", "student"])
def test_loss_compares_gaussians_of_translations_and_clouds_of_tokens(make_task: MakeTask, documents: str) -> None:
    method = prepare(make_task, documents=documents, individual_weight=3.0, aggregate_weight=7.0)
    loss, figures = method.loss(ROWS, 0.0)
    bitext, encoder = method.task.data.bitext, method.document_encoder
    english = {i: tokens_of(encoder, [bitext.document_side[i]], "document")[0] for i in range(150)}
    target = {i: tokens_of(method.student, [bitext.query_side[i]], "query")[0] for i in range(150)}
    squares = [
        ot.gaussian.bures_wasserstein_distance(
            one.mean(axis=0), other.mean(axis=0), np.diag(one.var(axis=0)), np.diag(other.var(axis=0))
        )
        ** 2
        for one, other in ((english[i], target[i]) for i in ROWS["pairs"])
    ]
    assert figures["individual_loss"] == pytest.approx(np.mean(squares), rel=1e-4)
    clouds = [
        torch.tensor(np.concatenate([side[i] for i in ROWS[name]]) * method.student.dimension**0.5)
        for side, name in ((english, "english"), (target, "target"))
    ]
    assert figures["aggregate_loss"] == pytest.approx(float(imq_mmd(*clouds)), rel=1e-4)
    expected = figures["task_loss"] + 3 * figures["individual_loss"] + 7 * figures["aggregate_loss"]
    assert float(loss.detach()) == pytest.approx(expected, rel=1e-5)


def test_mean_of_the_posterior_is_the_embedding_that_is_scored(make_task: MakeTask) -> None:
    method = prepare(make_task)
    rows = ROWS["pairs"]
    mean = Posterior.of(method.student, method.target, rows).mean
    scored = method.student.encode([method.task.data.bitext.query_side[i] for i in rows], "query")
    assert mean.detach().numpy() == pytest.approx(scored, abs=1e-6)


def test_sides_of_the_aggregate_term_are_drawn_apart(make_task: MakeTask) -> None:
    """Translations meet in it no more often than chance has it: share * share / rows."""
    method = prepare(make_task)
    batches = list(islice(method.batches(np.random.default_rng(0)), 200))
    share = method.task.recipe.batch_size // 3
    assert all({name: len(rows) for name, rows in batch.items()} == dict.fromkeys(ROWS, share) for batch in batches)
    met = np.mean([len(np.intersect1d(batch["english"], batch["target"])) for batch in batches])
    assert met < 3 * share * share / len(method.task.data.bitext)


@pytest.mark.parametrize("weights", [{"individual_weight": 0.0}, {"aggregate_weight": 0.0}])
def test_each_term_alone_brings_the_languages_together(make_task: MakeTask, weights: dict[str, float]) -> None:
    """And the space does not collapse, for relevance is learned at the same time."""
    records: list[dict] = []
    task = make_task(steps=40, on_step=records.append)
    PosteriorAlignment(PosteriorAlignmentConfig(**weights)).fit(task)
    minimised = {"individual_loss", "aggregate_loss"} - {name.replace("weight", "loss") for name in weights}
    for name, part in [*((name, 0.8) for name in minimised), ("task_loss", 1.0)]:
        values = [record[name] for record in records]
        assert np.mean(values[-10:]) < part * np.mean(values[:10]), name


def test_documents_are_encoded_by_whom_the_configuration_says(make_task: MakeTask, teacher: Encoder) -> None:
    before = teacher.fingerprint()
    retriever = PosteriorAlignment(PosteriorAlignmentConfig(documents="teacher")).fit(make_task(steps=3))
    assert retriever.document_encoder is teacher
    assert teacher.fingerprint() == before
    retriever = PosteriorAlignment(PosteriorAlignmentConfig(documents="student")).fit(make_task(steps=3))
    assert retriever.document_encoder is retriever.query_encoder


def test_same_seed_gives_the_same_student(make_task: MakeTask) -> None:
    one, same, other = (
        PosteriorAlignment().fit(make_task(steps=3, seed=seed)).query_encoder.fingerprint() for seed in (0, 0, 1)
    )
    assert one == same != other
