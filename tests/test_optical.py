"""OPTICAL: the loss by POT one pair at a time, its settings, and costs and marginals by hand."""

from typing import Any

import numpy as np
import ot
import pytest
import torch
from conftest import MakeTask, Prepare, foreign

from bench.data.ibm_model_1 import ibm_model_1
from bench.encoders.encoder import Encoder, TokenBatch
from bench.errors import BenchError
from methods.optical import (
    SOLVERS,
    Optical,
    OpticalConfig,
    Solver,
    Table,
    Tokens,
    marginal,
    word_starts,
    words,
)


def word_vectors(encoder: Encoder, text: str, side: str) -> np.ndarray:
    """Unit-length embeddings of a text's tokens, [CLS] and [SEP] left out, of the text alone."""
    batch = encoder.collate(encoder.tokenize([text], side))  # type: ignore[arg-type]
    with torch.no_grad():
        vectors = encoder.token_embeddings(batch)[0, 1:-1].double().numpy()
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_loss_is_the_mean_cost_of_the_entropic_plans(prepare: Prepare) -> None:
    method = prepare(Optical, epsilon=0.1, tolerance=1e-5, max_iterations=20_000)
    task = method.task
    rows = np.array([0, 24, 77, 149])  # of different lengths, so that all but the longest are padded
    loss, figures = method.loss({"bitext": rows}, 0.0)
    values = []
    for i in rows:
        english = word_vectors(task.teacher, task.data.bitext.document_side[i], "document")
        target = word_vectors(method.student, task.data.bitext.query_side[i], "query")
        cost = 1 - english @ target.T
        masses = [np.full(size, 1 / size) for size in cost.shape]
        plan = ot.sinkhorn(*masses, cost, 0.1, method="sinkhorn_log", stopThr=1e-10, numItermax=100_000)
        values.append((plan * cost).sum())
    assert float(loss.detach()) == pytest.approx(np.mean(values), abs=1e-4)
    assert figures["plans_unconverged"] == 0
    _, figures = prepare(Optical, epsilon=0.01, tolerance=1e-6, max_iterations=1).loss({"bitext": np.arange(8)}, 0.0)
    assert figures["plan_iterations"] == 1 and figures["plans_unconverged"] > 0


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("cost", "squared_euclidean"),
        ("marginals", "norm"),
        ("marginals", "idf"),
        ("layer", 0),
        ("special_tokens", True),
    ],
)
def test_exact_loss_with_each_setting(prepare: Prepare, setting: str, value: Any) -> None:
    """Made of each text alone, with the settings' definitions written out."""
    settings = {setting: value}
    method = prepare(Optical, solver="exact", **settings)
    task = method.task
    bitext, rows = task.data.bitext, np.array([0, 24, 77])
    values = []
    for i in rows:
        vectors, masses = [], []
        for encoder, side, texts in (
            (task.teacher, "document", bitext.document_side),
            (method.student, "query", bitext.query_side),
        ):
            batch = encoder.collate(encoder.tokenize([texts[i]], side))
            with torch.no_grad():
                output = encoder.transformer(batch.input_ids, batch.attention_mask, output_hidden_states=True)
            hidden = output.hidden_states[0 if "layer" in settings else -1][0].double().numpy()
            seen = [set(ids) for ids in encoder.tokenize(texts, side)]
            counts = [sum(piece in sentence for sentence in seen) for piece in batch.input_ids[0].tolist()]
            mass = {
                "norm": np.linalg.norm(hidden, axis=1),
                "idf": np.log([1 + (len(texts) - count + 0.5) / (count + 0.5) for count in counts]),
            }.get(settings.get("marginals", ""), np.ones(len(hidden)))
            inside = slice(None) if "special_tokens" in settings else slice(1, -1)
            vectors.append(hidden[inside])
            masses.append(mass[inside] / mass[inside].sum())
        english, student = vectors
        if "cost" in settings:
            unit = masses[0] @ np.square(english).sum(axis=1)
            cost = np.square(english[:, None] - student[None]).sum(axis=2) / unit
        else:
            cost = ot.dist(english, student, metric="cosine")
        values.append(ot.emd2(*masses, cost))
    assert float(method.loss({"bitext": rows}, 0.0)[0].detach()) == pytest.approx(np.mean(values), abs=1e-5)


def test_student_that_encodes_documents_approaches_the_teacher_on_both_sides(make_task: MakeTask) -> None:
    """The teacher's vocabulary read by itself costs nothing, so only the query side is left of the loss."""
    task, rows = make_task(steps=2), {"bitext": np.arange(8)}
    queries, both = (
        Optical(OpticalConfig(solver="exact", document_encoder=documents)) for documents in ("teacher", "student")
    )
    for method in (queries, both):
        method.prepare(task, task.teacher.copy())
    losses = [float(method.loss(rows, 0.0)[0].detach()) for method in (queries, both)]
    assert losses[1] == pytest.approx(losses[0], abs=1e-5)
    student = task.make_student()
    torch.nn.init.normal_(student.word_embeddings.weight, generator=torch.Generator().manual_seed(0))
    both.prepare(task, student)
    queries.prepare(task, student)
    assert both.loss(rows, 0.0)[0] > queries.loss(rows, 0.0)[0] + 0.1
    retriever = both.fit(task)
    assert retriever.document_encoder is retriever.query_encoder is not task.teacher


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"solver": "exact", "epsilon": 0.1}, "epsilon has no effect with the solver exact; it belongs to entropic"),
        ({"mass": 0.5}, "mass has no effect with the solver entropic; it belongs to partial"),
        ({"solver": "greedy", "tolerance": 1e-2}, "tolerance has no effect with the solver greedy"),
        ({"prior_floor": 0.5}, "prior_floor has no effect with the solver entropic; it belongs to prior"),
        ({"tolerance": 1e-8}, "greater than or equal to"),
        ({"solver": "sinkhorn"}, "Input should be 'entropic'"),
        ({"layer": 2}, "small has no layer 2; choose one from -2 to 1"),
    ],
)
def test_settings_without_a_meaning_are_refused(prepare: Prepare, settings: dict[str, Any], complaint: str) -> None:
    with pytest.raises((ValueError, BenchError), match=complaint):
        prepare(Optical, **settings)


@pytest.mark.parametrize("solver", SOLVERS)
def test_all_defaults_written_out_are_accepted(solver: Solver) -> None:
    config = OpticalConfig(solver=solver)
    assert OpticalConfig(**config.model_dump()) == config


def test_aligned_mass_is_that_of_the_words_pieces(make_task: MakeTask) -> None:
    """A sentence against itself, read by the teacher on both sides: each word has its own mass, by its pieces."""
    task, method = make_task(), Optical(OpticalConfig(solver="exact"))
    method.prepare(task, task.teacher)
    sentence = ["the", "teacherdog", "saw", "some", "bread"]
    pieces = [len(task.teacher.tokenizer.tokenize(word)) for word in sentence]
    assert max(pieces) > 1
    np.testing.assert_allclose(method.align(sentence, sentence), np.diag(pieces) / sum(pieces), atol=1e-6)


def test_words_of_pieces(encoder: Encoder) -> None:
    texts = ["the teacherdog saw", "a catapult."]
    batch = encoder.collate(encoder.tokenize(texts, "query"))
    found = words(batch, word_starts(encoder))
    for row, text in zip(found, texts, strict=True):
        expected = encoder.tokenizer(text).word_ids()
        inside = [word for word in expected if word is not None]
        assert len(set(inside)) < len(inside)
        assert row[1 : 1 + len(inside)].tolist() == [word + 1 for word in inside]  # [CLS] is the first


def test_uniform_table_gives_the_entropic_plan(prepare: Prepare) -> None:
    rows = {"bitext": np.array([0, 24, 77])}
    losses = [
        prepare(Optical, **each).loss(rows, 0.0)[0].detach() for each in ({}, {"solver": "prior", "prior_floor": 1})
    ]
    assert float(losses[0]) == pytest.approx(float(losses[1]), abs=1e-6)


def test_mass_follows_a_sharp_table_at_a_constant_cost(prepare: Prepare) -> None:
    """The prior is the truth of three tokens that are translated in another order, and the floor elsewhere.

    By symmetry the plan between uniform marginals is the table itself, with all rows and columns scaled alike.
    """
    method = prepare(Optical, solver="prior", prior_floor=1e-3)
    ids = torch.tensor([[11, 12, 13]])
    order = torch.tensor([2, 0, 1])
    batch = TokenBatch(ids, torch.ones_like(ids), torch.zeros_like(ids).bool(), 3)
    mass = torch.full((1, 3), 1 / 3)
    english = Tokens(batch, torch.ones(1, 3, 2), mass, ids)
    translated = english._replace(batch=TokenBatch(ids[:, order] + 50, batch.attention_mask, batch.special, 3))
    table = Table(torch.tensor([61 * 100 + 11, 62 * 100 + 12, 63 * 100 + 13, 10_000]), torch.full((4,), 0.8), 100)
    plan = method.transport(english, translated, table)[1].plan[0]
    expected = torch.full((3, 3), 1e-3)
    expected[order, torch.arange(3)] = 0.8
    torch.testing.assert_close(plan, expected / expected.sum(), atol=1e-5, rtol=1e-3)


def test_table_has_the_probabilities_of_the_model(prepare: Prepare) -> None:
    """Looked up one by one in the table of `ibm_model_1`; words of the toy language translate one to one."""
    method = prepare(Optical, solver="prior", prior_floor=1e-3)
    english, student = method.english.texts, method.student_sides[0].texts
    source, target = ([ids[1:-1] for ids in side.ids] for side in (student, english))
    shape = len(student.encoder.tokenizer), len(english.encoder.tokenizer)
    learned = ibm_model_1(source, target, shape, 5, 1e-3)[0].toarray()
    rows = np.array([3, 80])
    one, other = english.batch(rows), student.batch(rows)
    found = method.student_sides[0].table(one.input_ids, other.input_ids)
    assert found.dtype == torch.float32 and found.max() > 0.9
    for n, i, j in np.ndindex(*found.shape):
        assert float(found[n, i, j]) == pytest.approx(learned[other.input_ids[n, j], one.input_ids[n, i]], abs=1e-6)
        if one.special[n, i] or other.special[n, j]:
            assert found[n, i, j] == 0


def test_prior_follows_translations_from_random_embeddings(prepare: Prepare, make_task: MakeTask) -> None:
    """Every word of the toy language is an English word turned around, so the diagonal has the truth."""
    sentence = ["the", "cat", "saw", "some", "bread"]
    diagonals = []
    for settings in ({"solver": "entropic"}, {"solver": "prior"}):
        method = prepare(Optical, make_task(recipe={"vocabulary": "new"}), **settings)
        torch.nn.init.normal_(method.student.word_embeddings.weight, generator=torch.Generator().manual_seed(0))
        diagonals.append(method.align(sentence, foreign(" ".join(sentence)).split()).trace())
    assert diagonals[1] > 0.6 > 0.4 > diagonals[0]


@pytest.mark.parametrize("layer", [0, -1])
def test_pooled_term_is_the_squared_distance_of_sentence_embeddings(prepare: Prepare, layer: int) -> None:
    rows = np.array([0, 24, 77])
    settings = {"solver": "exact", "layer": layer}
    plain, method = prepare(Optical, **settings), prepare(Optical, pooled_weight=3, **settings)
    bitext, distances = method.task.data.bitext, []
    for i in rows:
        vectors = []
        for encoder, text, side in (
            (method.task.teacher, bitext.document_side[i], "document"),
            (method.student, bitext.query_side[i], "query"),
        ):
            with torch.no_grad():
                vector = encoder.token_embeddings(encoder.collate(encoder.tokenize([text], side)), layer)[0].mean(dim=0)
            vectors.append(vector / vector.norm())
        distances.append(float((vectors[0] - vectors[1]).square().sum()))
    losses = [float(each.loss({"bitext": rows}, 0.0)[0].detach()) for each in (plain, method)]
    assert losses[1] - losses[0] == pytest.approx(3 * np.mean(distances), abs=1e-5)


@pytest.mark.parametrize("solver", ["entropic", "exact", "prior", "proximal", "quadratic", "group-lasso"])
def test_squared_cost_with_special_tokens_bounds_the_distance_of_means(prepare: Prepare, solver: Solver) -> None:
    """Jensen's inequality, in units of the teacher's mean squared norm. The marginals hold up to the tolerance."""
    method = prepare(Optical, solver=solver, cost="squared_euclidean", special_tokens=True)
    for row in range(0, 150, 10):
        loss, means, squares = float(method.loss({"bitext": np.array([row])}, 0.0)[0].detach()), [], []
        for side in (method.english, method.student_sides[0]):
            hidden = side.texts.encoder.token_embeddings(side.texts.batch(np.array([row])))[0].detach()
            means.append(hidden.mean(dim=0))
            squares.append(hidden.square().sum(dim=1).mean())
        assert loss >= float((means[0] - means[1]).square().sum() / squares[0]) - 5e-3


def test_text_without_words_has_its_mass_on_the_special_tokens() -> None:
    real = torch.tensor([[1, 1, 0]])
    batch = TokenBatch(torch.zeros_like(real), real, torch.ones_like(real).bool(), 2)
    assert marginal(torch.ones(1, 3), batch, special_tokens=False)[0].tolist() == [0.5, 0.5, 0]
