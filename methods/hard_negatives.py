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
    mining: Literal["static", "dynamic"] = "dynamic"
    """`dynamic`: the student mines again and again while it learns. `static`: a frozen miner mines once per query."""
    miner: Literal["teacher", "student"] = "teacher"
    """The static miner: the teacher, on a sentence's translation, or the student before its first step, which cannot
    read a new language yet."""
    refresh: int = Field(50, gt=0)
    """Steps between two minings. Each covers the queries that are trained on until the next."""
    number: int = Field(4, gt=0)
    """Mined negatives per query."""
    depth: int = Field(200, gt=0)
    """Number of nearest documents that negatives are drawn from, as in ANCE."""
    candidates: int = Field(8192, gt=1)
    """Number of documents that are searched: a sample of the examples' positives, drawn once to limit the cost."""
    margin: float = Field(0.95, gt=0)
    """A document is a negative only if the miner scores it below this share of the positive (NV-Retriever's filter)."""
    denoise: float | None = Field(None, gt=0)
    """The same filter by the teacher's scores, on a sentence's translation, whoever mines."""


Miner = tuple[Encoder, Encoder, Sequence[str]]
"""The encoders of queries and of documents that search for negatives, and the queries as they are read."""


class HardNegatives(TrainedMethod):
    """Hard negatives: InfoNCE with the batch's documents and others that a search took for the right ones.

    Minimises -log of the softmax of cos(S(q), D(d)) / temperature over the batch's positives and all mined negatives
    of its queries. The pipeline's own search ranks the documents. Of the nearest, those are admitted that score less
    than `margin` times the positive and are of another parallel group than the query and all its positives: the
    positive's translations and copies are the classic false negative of cross-lingual mining. Negatives are drawn from
    these at random. Documents of other groups fill up missing places, whose share is `negatives_filled`.

    Static: mined once for each query, by a frozen encoder. Dynamic: mined again and again by the student. Documents are
    encoded by the frozen teacher, so their index is made once (ADORE). With `document_encoder=student` it is made at
    every mining (ANCE). The cost of mining is part of the training's cost.

    Known limits: a student that is new to a language scores the positive no higher than other documents, so its first
    negatives are mostly random ones. Nearly equal texts are not of one parallel group.
    """

    name = "hard-negatives"
    source = (
        "ANCE, Xiong et al. 2021 (arXiv 2007.00808); ADORE, Zhan et al. 2021 (arXiv 2104.08051); NV-Retriever, "
        "Moreira et al. 2024 (arXiv 2407.15831), for the filter; a reconstruction"
    )
    supervision: tuple[str, ...] = ("bitext",)
    variants: ClassVar[dict[str, dict[str, Any]]] = {
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
            raise BenchError("hard-negatives needs documents of which some say different things; give it more data")
        self.candidate_texts = [rows.positives[row] for row in self.candidates]
        self.frozen: dict[int, np.ndarray] = {}
        readable = [p if source == "bitext" else q for q, p, source in zip(*rows.columns[:3], strict=True)]
        self.judge: Miner = (task.teacher, task.teacher, readable)
        self.miner: Miner = self.judge
        if config.mining == "dynamic":
            self.miner = (student, self.document_encoder, rows.queries)
        elif config.miner == "student":
            start = task.make_student().freeze()
            self.miner = (start, task.teacher if config.document_encoder == "teacher" else start, rows.queries)
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
            if self.config.mining == "static":
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
        view = self.view(self.miner, rows, spent)
        nearest = view.nearest(config.depth)
        apart = groups[self.candidates] != groups[rows][:, None]
        admitted = np.take_along_axis(apart, nearest, axis=1) & view.below(config.margin, nearest)
        if config.denoise is not None:
            admitted &= self.view(self.judge, rows, spent).below(config.denoise, nearest)
        rng = self.task.numpy_generator(f"negatives {spent.steps}")
        for i, row in enumerate(rows):
            others = np.flatnonzero(apart[i])
            self.negatives[row], self.filled[row] = pick(nearest[i][admitted[i]], others, config.number, rng)

    def view(self, miner: Miner, rows: np.ndarray, spent: Spent) -> View:
        """Return the miner's embeddings of the queries of these rows and of the candidates."""
        query_encoder, document_encoder, texts = miner
        queries = self.encode(query_encoder, [texts[row] for row in rows], "query", spent)
        documents = self.documents(document_encoder, spent)
        positives = [self.examples.rows.positives[row] for row in rows]
        place = {text: i for i, text in enumerate(self.candidate_texts)}
        outside = [text for text in dict.fromkeys(positives) if text not in place]
        place |= {text: len(documents) + i for i, text in enumerate(outside)}
        known = np.concatenate([documents, self.encode(document_encoder, outside, "document", spent)])
        return View(queries, documents, (queries * known[[place[text] for text in positives]]).sum(axis=1))

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
    """A miner's L2-normalised embeddings, float32: `queries` (n, dimension), `documents` (m, dimension).

    `positives` (n,) has the score of each query's own positive, which need not be among the documents.
    """

    queries: np.ndarray
    documents: np.ndarray
    positives: np.ndarray

    def nearest(self, depth: int) -> np.ndarray:
        """Return the `depth` highest-scoring documents of each query, best first, (n, at most depth) int64."""
        names = Ids([str(i) for i in range(len(self.queries))], [str(i) for i in range(len(self.documents))])
        run = search(self.queries, [self.documents], names, depth)
        return np.array([[int(document) for document, _ in run[query]] for query in names.queries])

    def below(self, share: float, candidates: np.ndarray) -> np.ndarray:
        """Return which candidates (n, k) score less than `share` times the query's positive, (n, k) bool."""
        scores = [self.documents[rows] @ query for rows, query in zip(candidates, self.queries, strict=True)]
        return np.array(scores) < share * self.positives[:, None]


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
