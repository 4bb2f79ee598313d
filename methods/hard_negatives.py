"""Hard negatives: contrastive training on what a search confuses with the positive, mined once or again and again."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from bench.api import Batch, BenchError, Encoder, Relevance, Spent, Task, TrainedConfig, TrainedMethod, info_nce
from methods.examples import Examples, embed, judged, translated
from methods.mining import Miner, Pool, pick


class HardNegativesConfig(TrainedConfig):
    data: Literal["bitext", "relevance", "both"] = "bitext"
    """Which examples it trains on: sentences with their translations, judged queries with their positives, or both."""
    temperature: float = Field(0.05, gt=0)
    """Of the cosines, before the softmax."""
    mining: Literal["static", "dynamic"] = "dynamic"
    """Whether the student mines again and again while it learns, or a frozen miner once for each query."""
    miner: Literal["teacher", "student"] = "teacher"
    """Who mines where mining is static: the teacher, which reads a sentence's translation in its place, or the student
    before its first step, which cannot read a new language yet."""
    refresh: int = Field(50, gt=0)
    """Steps from one mining to the next; each is for the queries that are trained on until then."""
    number: int = Field(4, gt=0)
    """Mined negatives per query."""
    depth: int = Field(200, gt=0)
    """They are drawn from so many nearest documents, as in ANCE."""
    pool: int = Field(8192, gt=1)
    """How many documents there are to be found: a sample of the examples' positives, drawn once, because encoding all
    of them would be dear."""
    margin: float = Field(0.95, gt=0)
    """A document is admitted only if the miner scores it below so many times the positive (NV-Retriever's filter)."""
    denoise: float | None = Field(None, gt=0)
    """The same by the teacher's scores, whoever mines; the teacher reads a sentence's translation in its place."""


class HardNegatives(TrainedMethod):
    """Hard negatives: InfoNCE with documents besides the batch's own that a search took for the right ones.

    Minimises -log of the softmax of cos(S(q), D(d)) / temperature over the batch's positives and all mined negatives
    of its queries. Documents are ranked by the pipeline's own search; of the nearest, those are admitted that score
    less than `margin` times the positive and are of another parallel group than the query and all its positives, for
    the positive's translations and copies are the classic false negative of cross-lingual mining. The negatives are
    drawn from these at random; where there are too few, any documents of other groups take the remaining places, whose
    share is `negatives_filled`.

    Static: mined once for each query, by a frozen encoder. Dynamic: mined again and again by the student. Documents are
    encoded by the frozen teacher, so their index is made once (ADORE); with `documents=student` it is made at every
    mining (ANCE). What mining costs is part of the training's cost.

    Known limits: a student that has just met a language scores the positive no higher than other documents, so that
    its first negatives are mostly random ones. Nearly equal texts are not of one parallel group.
    """

    name = "hard-negatives"
    source = (
        "ANCE, Xiong et al. 2021 (arXiv 2007.00808); ADORE, Zhan et al. 2021 (arXiv 2104.08051); NV-Retriever, "
        "Moreira et al. 2024 (arXiv 2407.15831), for the filter; a reconstruction"
    )
    uses: tuple[str, ...] = ("bitext",)
    variants: ClassVar[dict[str, dict[str, Any]]] = {
        "static-negatives": {"mining": "static"},
        "dynamic-negatives": {"mining": "dynamic"},
    }
    Config = HardNegativesConfig

    def __init__(self, config: HardNegativesConfig | None = None) -> None:
        super().__init__(config)
        self.uses = ("bitext", "relevance") if self.config.data == "both" else (self.config.data,)

    def prepare(self, task: Task, student: Encoder) -> None:
        super().prepare(task, student)
        config, sources = self.config, {"bitext": translated(task.data.bitext), "relevance": judged(task.data)}
        rows = Relevance.join([sources[use] for use in self.uses])
        self.examples = Examples(task, student, self.document_encoder, rows)
        first: dict[str, int] = {}
        for row, text in enumerate(rows.positives):
            first.setdefault(text, row)
        self.candidates = task.numpy_generator("pool").permutation(list(first.values()))[: config.pool]
        if len(np.unique(self.examples.groups[self.candidates])) < 2:
            raise BenchError("hard-negatives needs documents of which some say different things; give it more data")
        self.pool = Pool([rows.positives[row] for row in self.candidates], task.precision)
        readable = [p if s == "bitext" else q for q, p, s in zip(*rows.columns[:3], strict=True)]
        self.judge = Miner(task.teacher, task.teacher, readable)
        if config.mining == "dynamic":
            self.miner = Miner(student, self.document_encoder, rows.queries)
        elif config.miner == "teacher":
            self.miner = self.judge
        else:
            start = task.make_student().freeze()
            self.miner = Miner(start, task.teacher if config.documents == "teacher" else start, rows.queries)
        self.negatives = np.full((len(rows), config.number), -1)
        self.filled = np.zeros(len(rows), dtype=np.int64)

    def batches(self, rng: np.random.Generator) -> Iterator[Batch]:
        stream, self.ahead = itertools.tee(self.examples.batches(rng))
        self.looked = 0
        return ({"examples": rows} for rows in stream)

    def refresh(self, spent: Spent) -> None:
        started = time.perf_counter()
        if spent.steps % self.config.refresh == 0:
            rows = self.coming(spent.steps)
            if self.config.mining == "static":
                rows = rows[self.negatives[rows, 0] < 0]
            if len(rows):
                self.mine(rows, spent)
        if self.config.documents == "teacher":
            self.vectors = self.pool.vectors(self.task.teacher, spent)
        spent.mining_seconds += time.perf_counter() - started

    def coming(self, step: int) -> np.ndarray:
        """The examples of the batches from `step` to the next mining, each once."""
        budget, stop = self.task.budget, step + self.config.refresh
        if budget.unit == "steps":
            stop = min(stop, budget.amount)
        batches = itertools.islice(self.ahead, step - self.looked, stop - self.looked)
        self.looked = stop
        return np.unique(np.concatenate(list(batches)))

    def mine(self, rows: np.ndarray, spent: Spent) -> None:
        """Find negatives for these examples."""
        config, groups = self.config, self.examples.groups
        positives = [self.examples.rows.positives[row] for row in rows]
        view = self.pool.view(self.miner, rows, positives, spent)
        found = view.nearest(config.depth)
        apart = groups[self.candidates] != groups[rows][:, None]
        admitted = np.take_along_axis(apart, found, axis=1) & view.below(config.margin, found)
        if config.denoise is not None:
            admitted &= self.pool.view(self.judge, rows, positives, spent).below(config.denoise, found)
        rng = self.task.numpy_generator(f"negatives {spent.steps}")
        for i, row in enumerate(rows):
            self.negatives[row], self.filled[row] = pick(
                found[i][admitted[i]], np.flatnonzero(apart[i]), config.number, rng
            )

    def state(self) -> dict[str, Tensor]:
        return {"negatives": torch.from_numpy(self.negatives), "filled": torch.from_numpy(self.filled)}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        self.negatives, self.filled = state["negatives"].numpy(), state["filled"].numpy()

    def loss(self, batch: Batch, progress: float) -> tuple[Tensor, dict[str, float]]:
        rows, examples = batch["examples"], self.examples
        mined = np.unique(self.negatives[rows])
        others = self.candidates[mined]
        if self.config.documents == "teacher":
            negatives = torch.from_numpy(self.vectors[mined]).to(self.student.device)
        else:
            negatives = embed(self.student, examples.positive_ids, others)
        loss = info_nce(
            embed(self.student, examples.query_ids, rows),
            torch.cat([embed(self.document_encoder, examples.positive_ids, rows), negatives]),
            self.config.temperature,
            torch.cat([examples.related(rows, rows), examples.related(rows, others)], dim=1),
        )
        return loss, {"negatives_filled": self.filled_share(rows)}

    def diagnose(self) -> dict[str, Any]:
        """`negatives_filled`: the share of all negatives that no search had found."""
        return {"negatives_filled": self.filled_share(np.flatnonzero(self.negatives[:, 0] >= 0))}

    def filled_share(self, rows: np.ndarray) -> float:
        return float(self.filled[rows].mean() / self.config.number)
