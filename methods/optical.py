"""OPTICAL: knowledge distillation through the optimal transport of token embeddings."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal, NamedTuple, Self

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor
from torch.nn import functional

from bench.api import (
    Batch,
    BenchError,
    Encoder,
    Task,
    TokenBatch,
    TrainedConfig,
    TrainedMethod,
    ibm_model_1,
    word_pieces,
)
from methods import solvers
from methods.examples import TokenizedTexts, pair_batches

Solver = Literal[
    "entropic", "prior", "exact", "proximal", "unbalanced", "partial", "quadratic", "group-lasso", "greedy"
]

SOLVERS: dict[Solver, tuple[Callable[..., solvers.Plan], tuple[str, ...]]] = {
    "entropic": (solvers.entropic, ("epsilon", "stop")),
    "prior": (solvers.prior, ("prior_floor", "epsilon", "stop")),
    "exact": (solvers.exact, ()),
    "proximal": (solvers.proximal, ("proximal_step", "stop")),
    "unbalanced": (solvers.unbalanced, ("epsilon", "relaxation", "stop")),
    "partial": (solvers.partial, ("epsilon", "mass", "stop")),
    "quadratic": (solvers.quadratic, ("quadratic_strength",)),
    "group-lasso": (solvers.group_lasso, ("epsilon", "group_strength", "stop")),
    "greedy": (solvers.greedy, ()),
}
"""The function of each solver, and the settings that it takes, in order. `stop` is `tolerance` and `max_iterations`."""
PRIOR_ITERATIONS = 5
"""Iterations of EM that a translation table is learned with, as for the student's first embeddings."""
PRIOR_TOKEN_PAIRS = 1 << 24
"""About the most pairs of tokens that a translation table is learned from: it bounds time and memory."""


class OpticalConfig(TrainedConfig):
    """The settings of `optical`. No default is from the paper."""

    solver: Solver = "entropic"
    """`exact`, `proximal` (IPOT, towards `exact`), `quadratic` (a sparse plan) or `greedy` (each student token to its
    nearest teacher token, no transport). With entropy: `entropic`, `prior` (relative to a translation table),
    `unbalanced` (marginals at a price) or `partial` (a share of the mass). Also with entropy: `group-lasso` (an English
    token goes to the pieces of few words)."""
    epsilon: float = Field(0.05, gt=0)
    """Strength of the entropic regularisation, on a cost between 0 and 2 (entropic, prior, unbalanced, partial,
    group-lasso)."""
    prior_floor: float = Field(1e-3, gt=0, le=1)
    """Least probability that an English piece translates a piece (prior). At 1, the solver is `entropic`."""
    proximal_step: float = Field(0.5, gt=0)
    """Strength of the divergence from the last plan (proximal). Smaller means fewer, harder steps."""
    relaxation: float = Field(0.5, gt=0)
    """Price of a divergence from the marginals (unbalanced). A token whose cost is well above it loses its mass."""
    mass: float = Field(0.8, gt=0, le=1)
    """Share of the mass that is transported (partial)."""
    quadratic_strength: float = Field(1.0, gt=0)
    """Weight of half the plan's squared norm (quadratic). Larger is less sparse."""
    group_strength: float = Field(0.1, gt=0)
    """Weight of the norms of an English token's mass on each word of the student's side (group-lasso)."""
    tolerance: float = Field(1e-3, ge=solvers.RESOLUTION)
    """A problem is solved when its plan deviates from the marginals by this share of its mass, and moves by no more."""
    max_iterations: int = Field(1000, gt=0)
    """Iterations stop here in any case. `plans_unconverged` in the log is the share of problems that need more."""
    marginals: Literal["uniform", "norm", "idf"] = "uniform"
    """A token's mass: the same for all, in proportion to the norm of its embedding, or to the inverse document
    frequency of its word piece in the bitext."""
    cost: Literal["cosine", "squared_euclidean"] = "cosine"
    """One minus the cosine, or the squared distance of the embeddings as they are, in units of the mean squared norm of
    the sentence's teacher tokens."""
    layer: int = -1
    """The layer whose hidden states are transported, for teacher and student: -1 is the last, 0 the word embeddings.
    The student's layers above it are not trained."""
    special_tokens: bool = False
    """Special tokens, such as [CLS] and [SEP], have mass, too."""
    pooled_weight: float = Field(0.0, ge=0)
    """Weight of the squared distance between the L2-normalised pooled embeddings of both sentences in this layer. Mean
    pooling depends on the norms of tokens and on special tokens, which the cosine cost without `special_tokens` does
    not determine. Without this term, <P, C> bounds the squared distance of the means, in units of the cost, if
    `cost=squared_euclidean` and `special_tokens=true`. It also needs uniform marginals, the last layer and a solver
    that keeps the marginals."""

    @property
    def stop(self) -> solvers.Stop:
        return solvers.Stop(self.tolerance, self.max_iterations)

    @model_validator(mode="after")
    def _refuse_settings_of_other_solvers(self) -> Self:
        readers: dict[str, list[Solver]] = {}
        for solver, (_, names) in SOLVERS.items():
            for name in (*names, *(solvers.Stop._fields if "stop" in names else ())):
                readers.setdefault(name, []).append(solver)
        for name in sorted(readers.keys() & type(self).model_fields):
            if self.solver not in readers[name] and getattr(self, name) != type(self).model_fields[name].default:
                solvers_of = ", ".join(readers[name])
                raise ValueError(f"{name} has no effect with the solver {self.solver}; it belongs to {solvers_of}")
        return self


class Table(NamedTuple):
    """Probabilities p(English piece | piece): `keys` (entries + 1,) int64, sorted, are piece * width + English piece.

    No pair has a key above the last one.
    """

    keys: Tensor
    values: Tensor
    width: int

    def __call__(self, english: Tensor, pieces: Tensor) -> Tensor:
        """Return p(english_i | pieces_j) for ids (batch, n) and (batch, m): (batch, n, m) float32, 0 if unknown."""
        keys = pieces.unsqueeze(1) * self.width + english.unsqueeze(2)
        places = torch.searchsorted(self.keys, keys)
        return self.values[places] * (self.keys[places] == keys)


class Side(NamedTuple):
    """A side of the bitext, and the weight and the word start (bool) of each piece of the vocabulary.

    `table` is of the solver `prior`: translations of the pieces into the teacher's pieces of English.
    """

    texts: TokenizedTexts
    weights: Tensor
    starts: Tensor
    table: Table | None = None


class Tokens(NamedTuple):
    """A batch of sentences: embeddings (n, length, dimension) of its tokens, their mass and word (n, length)."""

    batch: TokenBatch
    embeddings: Tensor
    mass: Tensor
    words: Tensor


class Optical(TrainedMethod):
    """Optimal transport distillation: the student's tokens approach the teacher's along a transport plan.

    For a sentence e and its translation f with token embeddings H^T(e) and H^S(f), minimises

    <P, C>, C_ij = 1 - cos(H^T(e)_i, H^S(f)_j)

    P is the entropic plan for C between uniform marginals, held constant. The teacher is frozen and encodes documents.
    The student encodes queries. With `document_encoder=student` the student reads e, too, and <P', C'> between H^T(e)
    and H^S(e) is added.

    A reconstruction from the paper's abstract and claims: the loss <P, C>, the frozen teacher, the query-side student,
    bitext as the only data. Cost, marginals and solver are this project's choice. The solver `greedy` represents the
    student of DR.DECR (Li et al. 2021), a related method.

    Known limits: `greedy` needs a student that can read the language. Otherwise its tokens move to a few frequent
    tokens of the teacher. `quadratic` and `proximal` take longer than the rest of a step of the tiny encoder.
    """

    name = "optical"
    source = "Huang, Yu & Allan 2023 (WSDM; arXiv 2301.12566), a reconstruction"
    supervision = ("bitext",)
    Config = OpticalConfig
    tuned: ClassVar[Mapping[str, Sequence[Any]]] = {
        "epsilon": (0.02, 0.05, 0.1),
        "cost": ("cosine", "squared_euclidean"),
        "special_tokens": (False, True),
        "pooled_weight": (0.0, 0.3, 1.0, 3.0),
    }
    aligners = tuple({"solver": solver} for solver in SOLVERS)

    def prepare(self, task: Task, student: Encoder) -> None:
        """Tokenise the bitext. Raises `BenchError` for a layer that the encoder does not have."""
        super().prepare(task, student)
        bitext, limit = task.data.bitext, task.recipe.max_length
        self.english = self.side(TokenizedTexts(task.teacher, bitext.document_side, "document", limit))
        self.student_sides = [self.side(TokenizedTexts(student, bitext.query_side, "query", limit))]
        if self.document_encoder is student:
            self.student_sides.append(self.side(TokenizedTexts(student, bitext.document_side, "document", limit)))
        if self.config.solver == "prior":
            english, floor = self.english.texts, self.config.prior_floor
            self.student_sides = [
                side._replace(table=learn_table(side.texts, english, floor)) for side in self.student_sides
            ]

    def side(self, texts: TokenizedTexts) -> Side:
        encoder = texts.encoder
        layers = encoder.transformer.config.num_hidden_layers
        if not -layers - 1 <= self.config.layer <= layers:
            raise BenchError(
                f"optical: {encoder.name} has no layer {self.config.layer}; choose one from {-layers - 1} to {layers}"
            )
        size = len(encoder.tokenizer)
        weights = inverse_document_frequency(texts.ids, size) if self.config.marginals == "idf" else torch.ones(size)
        return Side(texts, weights.to(encoder.device), word_starts(encoder).to(encoder.device))

    def batches(self, rng: np.random.Generator) -> Iterator[Batch]:
        lengths = self.student_sides[0].texts.lengths + self.english.texts.lengths
        return ({"bitext": rows} for rows in pair_batches(self.task, lengths, self.task.data.bitext.pairs, rng))

    def loss(self, batch: Batch, progress: float) -> tuple[Tensor, dict[str, float]]:
        rows, losses, plans = batch["bitext"], [], []
        with torch.no_grad():
            english = self.read(self.english, self.english.texts.batch(rows))
            target = pooled(self.english, english)
        for side in self.student_sides:
            tokens = self.read(side, side.texts.batch(rows))
            loss, plan = self.transport(english, tokens, side.table)
            distance = (pooled(side, tokens) - target).square().sum(dim=1).mean()
            losses.append(loss + self.config.pooled_weight * distance)
            plans.append(plan)
        return torch.stack(losses).sum(), {
            "plan_iterations": max(plan.iterations for plan in plans),
            "plans_unconverged": sum(plan.unconverged(self.config.tolerance) for plan in plans) / len(plans),
        }

    def read(self, side: Side, batch: TokenBatch) -> Tokens:
        embeddings = side.texts.encoder.token_embeddings(batch, self.config.layer)
        weights = side.weights[batch.input_ids]
        if self.config.marginals == "norm":
            weights = embeddings.detach().float().norm(dim=-1)
        mass = marginal(weights, batch, special_tokens=self.config.special_tokens)
        return Tokens(batch, embeddings, mass, words(batch, side.starts))

    def transport(self, english: Tokens, student: Tokens, table: Table | None) -> tuple[Tensor, solvers.Plan]:
        """Return the mean <P, C> of a batch of sentence pairs, and the plans."""
        if self.config.cost == "cosine":
            cost = cosine_cost(english.embeddings, student.embeddings)
        else:
            cost = squared_euclidean_cost(english.embeddings, student.embeddings, english.mass)
        plan = self.plan(cost.detach(), english, student, table)
        return transport_loss(plan.plan, cost).mean(), plan

    @torch.no_grad()
    def plan(self, cost: Tensor, english: Tokens, student: Tokens, table: Table | None) -> solvers.Plan:
        """Return the plans for a cost (batch, n, m). Only the solver `prior` reads `table`."""
        solve, names = SOLVERS[self.config.solver]
        extra: tuple[Tensor, ...] = (student.words,) if self.config.solver == "group-lasso" else ()
        if self.config.solver == "prior" and table is not None:
            extra = (table(english.batch.input_ids, student.batch.input_ids),)
        with torch.autocast(cost.device.type, enabled=False):
            return solve(cost, english.mass, student.mass, *extra, *(getattr(self.config, name) for name in names))

    @torch.no_grad()
    def align(self, english: Sequence[str], foreign: Sequence[str]) -> np.ndarray:
        """Return the mass that the plan moves between the words of a sentence and of its translation."""
        tokens, members = [], []
        for side, sentence in ((self.english, english), (self.student_sides[0], foreign)):
            ids, word_ids = word_pieces(side.texts.encoder, sentence)
            tokens.append(self.read(side, side.texts.encoder.collate([ids])))
            of_no_word = [len(sentence) if word is None else word for word in word_ids]
            members.append(functional.one_hot(torch.tensor(of_no_word), len(sentence) + 1)[:, :-1].float())
        plan = self.transport(tokens[0], tokens[1], self.student_sides[0].table)[1].plan[0].cpu()
        return (members[0].T @ plan @ members[1]).numpy()


def learn_table(texts: TokenizedTexts, english: TokenizedTexts, minimum: float) -> Table:
    """Return IBM Model 1's probabilities from `minimum` on between pieces of translations, special tokens left out.

    It is learned from every k-th sentence pair, for about `PRIOR_TOKEN_PAIRS` pairs of tokens.
    """
    every = int(texts.lengths @ english.lengths) // PRIOR_TOKEN_PAIRS + 1
    source, target = (
        [[i for i in ids if i not in special] for ids in side.ids[::every]]
        for side, special in ((each, set(each.encoder.structural_ids)) for each in (texts, english))
    )
    shape = len(texts.encoder.tokenizer), len(english.encoder.tokenizer)
    table = ibm_model_1(source, target, shape, PRIOR_ITERATIONS, minimum)[0].tocoo()
    rows, columns = (torch.from_numpy(part.astype(np.int64)) for part in table.coords)
    keys, values = rows * shape[1] + columns, torch.from_numpy(table.data).float()
    end = torch.tensor([shape[0] * shape[1]])
    device = texts.encoder.device
    return Table(torch.cat([keys, end]).to(device), torch.cat([values, torch.zeros(1)]).to(device), shape[1])


def pooled(side: Side, tokens: Tokens) -> Tensor:
    """Return the L2-normalised pooled embeddings of sentences, (n, dimension) float32."""
    return functional.normalize(side.texts.encoder.pool(tokens.embeddings, tokens.batch), dim=-1)


def cosine_cost(x: Tensor, y: Tensor) -> Tensor:
    """Return 1 - cosine between tokens: x (batch, n, dim), y (batch, m, dim) -> (batch, n, m) float32."""
    x, y = functional.normalize(x.float(), dim=-1), functional.normalize(y.float(), dim=-1)
    with torch.autocast(x.device.type, enabled=False):
        return 1 - x @ y.transpose(1, 2)


def squared_euclidean_cost(x: Tensor, y: Tensor, mass: Tensor) -> Tensor:
    """Return |x_i - y_j|^2 over the mean of |x_i|^2 by `mass` (batch, n), a constant: (batch, n, m) float32.

    In this unit an entropy has the same effect as with cosines: two orthogonal tokens of that norm cost 2.
    """
    x, y = x.float(), y.float()
    squares = x.square().sum(dim=-1)
    unit = (mass * squares).sum(dim=1).detach()
    with torch.autocast(x.device.type, enabled=False):
        product = x @ y.transpose(1, 2)
    distance = squares.unsqueeze(2) + y.square().sum(dim=-1).unsqueeze(1) - 2 * product
    return distance / unit.clamp(min=1e-12)[:, None, None]


def marginal(weights: Tensor, batch: TokenBatch, *, special_tokens: bool) -> Tensor:
    """Return mass in proportion to `weights` (batch, length), summing to 1 per sentence: (batch, length) float32.

    Padding has no mass. Special tokens have mass only with `special_tokens`, or in a sentence of nothing else.
    """
    real = batch.attention_mask.bool()
    counted = real if special_tokens else real & ~batch.special
    counted = torch.where(counted.any(dim=1, keepdim=True), counted, real)
    mass = weights.float() * counted
    return mass / mass.sum(dim=1, keepdim=True)


def inverse_document_frequency(sentences: Sequence[Sequence[int]], vocabulary: int) -> Tensor:
    """Return log(1 + (N - n + 1/2) / (n + 1/2)) of each word piece, with n of N sentences: (vocabulary,) float32.

    It is positive for every piece (BM25's variant in Lucene).
    """
    counts = torch.bincount(torch.tensor([i for ids in sentences for i in set(ids)]), minlength=vocabulary)
    return torch.log1p((len(sentences) - counts + 0.5) / (counts + 0.5))


def word_starts(encoder: Encoder) -> Tensor:
    """Return which pieces begin a word: (vocabulary,) bool, for WordPiece, SentencePiece and byte-level BPE."""
    prefix = getattr(encoder.tokenizer.backend_tokenizer.model, "continuing_subword_prefix", None)
    pieces = encoder.tokenizer.convert_ids_to_tokens(range(len(encoder.tokenizer)))
    return torch.tensor([not piece.startswith(prefix) if prefix else piece.startswith(("▁", "Ġ")) for piece in pieces])


def words(batch: TokenBatch, starts: Tensor) -> Tensor:
    """Return the number of each token's word in its sentence, (batch, length) int64; special tokens are words."""
    return ((starts.to(batch.special.device)[batch.input_ids] | batch.special).long().cumsum(dim=1) - 1).clamp(min=0)


def transport_loss(plan: Tensor, cost: Tensor) -> Tensor:
    """Return <P, C> of each problem, (batch,), a Frobenius product. A gradient flows through the cost only."""
    return (plan.detach() * cost).sum(dim=(1, 2))
