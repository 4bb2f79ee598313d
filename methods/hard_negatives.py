"""Hard negatives: contrastive training on documents that a search confuses with the positive, mined once or often."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from bench.api import (
    Batch,
    BenchError,
    Encoder,
    Ids,
    Relevance,
    Side,
    Spent,
    Task,
    TrainedConfig,
    TrainedMethod,
    autocast,
    info_nce,
)
from bench.search import search
from methods.examples import Examples, judged, translated


class HardNegativesConfig(TrainedConfig):
    data: Literal["bitext", "relevance", "both"] = "bitext"
    """The training examples: sentences with their translations, judged queries with their positives, or both."""
    temperature: float = Field(0.05, gt=0)
    """Divisor of the cosines before the softmax."""
    mining: Literal["random", "static", "dynamic"] = "dynamic"
    """`dynamic`: the student mines again and again while it learns. `static`: the teacher mines once for each query.
    `random`: no search, for comparison."""
    refresh: int = Field(50, gt=0)
    """Steps between two minings. Each covers the queries that are trained on until the next."""
    number: int = Field(8, gt=0)
    """Negatives per query, besides those of the batch."""
    depth: int = Field(200, gt=0)
    """Number of nearest documents that negatives are drawn from, as in ANCE."""
    candidates: int = Field(8192, gt=1)
    """Number of documents that are searched: a sample of the examples' positives, drawn once to limit the cost."""
    margin: float = Field(1.0, gt=0)
    """A document is a negative only if the teacher scores it below this share of the positive (NV-Retriever's filter,
    with 0.95).
    """
    learning_rate_factor: float = Field(0.7, gt=0)
    """Factor on the recipe's learning rates, also on that of word embeddings."""


class HardNegatives(TrainedMethod):
    """Hard negatives: InfoNCE with the batch's documents and with non-relevant documents that a search ranks high.

    Minimises -log of the softmax of cos(S(q), D(d)) / temperature over the batch's positives and all mined negatives
    of its queries. The pipeline's own search ranks the documents. Negatives are drawn at random from the nearest ones
    that pass two filters. They are of another parallel group than the query and all its positives: the positive's
    translations and copies are the classic false negative of cross-lingual mining. And the frozen teacher, which reads
    a sentence's translation in the query's place, scores them below `margin` times the positive. The student's own
    score is no filter: it would remove the documents that the student wrongly prefers. Documents of other groups fill
    up missing places, whose share is `negatives_filled`.

    Static: the teacher mines once for each query. Dynamic: the student mines again and again, after a first mining by
    the teacher. Documents are encoded by the frozen teacher, so their index is made once (ADORE). With
    `document_encoder=student` it is made at every mining (ANCE). The cost of mining is part of the training's cost.

    Known limits: nearly equal texts are not of one parallel group.
    """

    name = "hard-negatives"
    source = (
        "ANCE, Xiong et al. 2021 (arXiv 2007.00808); ADORE, Zhan et al. 2021 (arXiv 2104.08051); NV-Retriever, "
        "Moreira et al. 2024 (arXiv 2407.15831), for the filter; a reconstruction"
    )
    supervision: tuple[str, ...] = ("bitext",)
    variants: ClassVar[dict[str, dict[str, Any]]] = {
        "random-negatives": {"mining": "random"},
        "static-negatives": {"mining": "static"},
        "dynamic-negatives": {"mining": "dynamic"},
    }
    Config = HardNegativesConfig
    tuned: ClassVar[Mapping[str, Sequence[Any]]] = {
        "temperature": (0.02, 0.05, 0.1),
        "number": (2, 4, 8),
        "margin": (0.9, 0.95, 1.0),
    }

    def __init__(self, config: HardNegativesConfig | None = None) -> None:
        super().__init__(config)
        self.supervision = ("bitext", "relevance") if self.config.data == "both" else (self.config.data,)

    def prepare(self, task: Task, student: Encoder) -> None:
        super().prepare(task, student)
        config, sources = self.config, {"bitext": translated(task.data.bitext), "relevance": judged(task.data)}
        rows = Relevance.join([sources[use] for use in self.supervision])
        self.examples = Examples(task, student, self.document_encoder, rows)
        first_rows = {text: row for row, text in reversed([*enumerate(rows.positives)])}
        order = task.numpy_generator("pool").permutation(sorted(first_rows.values()))
        self.candidates = order[: config.candidates]
        if len(np.unique(self.examples.groups[self.candidates])) < 2:
            raise BenchError("hard-negatives needs documents of more than one parallel group; give it more data")
        self.candidate_texts = [rows.positives[row] for row in self.candidates]
        self.frozen: dict[int, np.ndarray] = {}
        self.negatives = np.full((len(rows), config.number), -1)
        self.filled = np.zeros(len(rows), dtype=np.int64)

    def batches(self, rng: np.random.Generator) -> Iterator[Batch]:
        stream, self.ahead = itertools.tee(self.examples.batches(rng))
        self.looked = 0
        return ({"examples": rows} for rows in stream)

    def on_step_start(self, spent: Spent) -> None:
        started = time.perf_counter()
        if spent.steps % self.config.refresh == 0:
            rows = self.coming(spent.steps)
            if self.config.mining != "dynamic":
                rows = rows[self.negatives[rows, 0] < 0]
            if len(rows):
                self.mine(rows, spent)
        if self.config.document_encoder == "teacher":
            self.vectors = self.documents(self.task.teacher, spent)
        spent.extra_seconds += time.perf_counter() - started

    def coming(self, step: int) -> np.ndarray:
        """Return the examples of the batches from `step` to the next mining, each once."""
        budget, stop = self.task.budget, step + self.config.refresh
        if budget.unit == "steps":
            stop = min(stop, budget.amount)
        batches = itertools.islice(self.ahead, step - self.looked, stop - self.looked)
        self.looked = stop
        return np.unique(np.concatenate(list(batches)))

    def mine(self, rows: np.ndarray, spent: Spent) -> None:
        """Find negatives for these examples."""
        config, groups = self.config, self.examples.groups
        apart = groups[self.candidates] != groups[rows][:, None]
        found = [np.flatnonzero(mask) for mask in apart]
        if config.mining != "random":
            judge, positives = self.judge(rows, spent)
            miner = self.student_view(rows, spent) if config.mining == "dynamic" and spent.steps else judge
            nearest = miner.nearest(config.depth)
            admitted = np.take_along_axis(apart, nearest, axis=1)
            admitted &= judge.scores(nearest) < config.margin * positives[:, None]
            found = [near[mask] for near, mask in zip(nearest, admitted, strict=True)]
        rng = self.task.numpy_generator(f"negatives {spent.steps}")
        for row, own, mask in zip(rows, found, apart, strict=True):
            self.negatives[row], self.filled[row] = pick(own, np.flatnonzero(mask), config.number, rng)

    def judge(self, rows: np.ndarray, spent: Spent) -> tuple[View, np.ndarray]:
        """Return the teacher's view, and its score of each row's positive, (rows,) float32.

        The teacher reads a judged query, or the translation of a sentence.
        """
        examples = self.examples.rows
        positives = self.encode(self.task.teacher, [examples.positives[row] for row in rows], "document", spent)
        queries, asked = positives.copy(), np.array([examples.sources[row] != "bitext" for row in rows])
        if asked.any():
            questions = [examples.queries[row] for row in rows[asked]]
            queries[asked] = self.encode(self.task.teacher, questions, "query", spent)
        return View(queries, self.documents(self.task.teacher, spent)), (queries * positives).sum(axis=1)

    def student_view(self, rows: np.ndarray, spent: Spent) -> View:
        queries = self.encode(self.student, [self.examples.rows.queries[row] for row in rows], "query", spent)
        return View(queries, self.documents(self.document_encoder, spent))

    def documents(self, encoder: Encoder, spent: Spent) -> np.ndarray:
        """Return the (candidates, dimension) embeddings; those of a frozen encoder are computed once."""
        if encoder is self.student:
            return self.encode(encoder, self.candidate_texts, "document", spent)
        if id(encoder) not in self.frozen:
            self.frozen[id(encoder)] = self.encode(encoder, self.candidate_texts, "document", spent)
        return self.frozen[id(encoder)]

    def encode(self, encoder: Encoder, texts: Sequence[str], side: Side, spent: Spent) -> np.ndarray:
        spent.extra_texts += len(set(texts))
        with autocast(encoder.device, self.task.precision):
            return encoder.encode(texts, side)

    def state(self) -> dict[str, Tensor]:
        return {"negatives": torch.from_numpy(self.negatives), "filled": torch.from_numpy(self.filled)}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        self.negatives, self.filled = state["negatives"].numpy(), state["filled"].numpy()

    def bitext_rows(self, batch: Batch) -> np.ndarray:
        """Return the rows of examples that are translations: they come before the judgments."""
        translations = len(self.task.data.bitext) if "bitext" in self.supervision else 0
        return batch["examples"][batch["examples"] < translations]

    def loss(self, batch: Batch, progress: float) -> tuple[Tensor, dict[str, float]]:
        rows, examples = batch["examples"], self.examples
        mined = np.unique(self.negatives[rows])
        others = self.candidates[mined]
        if self.config.document_encoder == "teacher":
            negatives = torch.from_numpy(self.vectors[mined]).to(self.student.device)
        else:
            negatives = examples.positives.embed(others)
        loss = info_nce(
            examples.queries.embed(rows),
            torch.cat([examples.positives.embed(rows), negatives]),
            self.config.temperature,
            examples.related(rows, np.concatenate([rows, others])),
        )
        return loss, {"negatives_filled": self.filled_share(rows)}

    def diagnose(self) -> dict[str, Any]:
        """Return `negatives_filled`: the share of all negatives that no search returned."""
        return {"negatives_filled": self.filled_share(np.flatnonzero(self.negatives[:, 0] >= 0))}

    def filled_share(self, rows: np.ndarray) -> float:
        return float(self.filled[rows].mean() / self.config.number)


class View(NamedTuple):
    """A miner's L2-normalised embeddings, float32: `queries` (n, dimension), `documents` (m, dimension)."""

    queries: np.ndarray
    documents: np.ndarray

    def nearest(self, depth: int) -> np.ndarray:
        """Return the `depth` highest-scoring documents of each query, best first, (n, at most depth) int64."""
        names = Ids([str(i) for i in range(len(self.queries))], [str(i) for i in range(len(self.documents))])
        run = search(self.queries, [self.documents], names, depth)
        return np.array([[int(document) for document, _ in run[query]] for query in names.queries])

    def scores(self, chosen: np.ndarray) -> np.ndarray:
        """Return the scores of chosen documents (n, k) of each query, (n, k) float32."""
        return np.array([self.documents[rows] @ query for rows, query in zip(chosen, self.queries, strict=True)])


def pick(admitted: np.ndarray, others: np.ndarray, number: int, rng: np.random.Generator) -> tuple[np.ndarray, int]:
    """Return `number` of the `admitted` documents, at random, and the number that `others` had to fill up.

    A document is taken twice only if there are not enough.
    """
    chosen = rng.permutation(admitted)[:number]
    missing = number - len(chosen)
    if missing:
        fresh = np.setdiff1d(others, chosen)
        enough = len(fresh) >= missing
        chosen = np.concatenate([chosen, rng.choice(fresh if enough else others, missing, replace=not enough)])
    return chosen, missing
