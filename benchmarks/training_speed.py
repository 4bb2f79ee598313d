"""Time a training step against the trainer of sentence-transformers: embedding distillation on 64 sentences.

    python benchmarks/training_speed.py [STEPS]

prints a table and writes it to `results/speed/` (`benchmarks/timing.py`). Teacher and student are all-MiniLM-L6-v2
(the extra `offline`, or a download), sentences are generated, and the batches of both have the same number of them.
Students have no dropout, as the recipe's default is. The teacher's embeddings of the sentences and the figures about
the trained student are part of the work. The peer is in bfloat16, too, and needs `sentence-transformers[train]`.
"""

import sys
import tempfile
from dataclasses import replace
from typing import TypeVar

import numpy as np
import torch
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer, SentenceTransformerTrainingArguments
from sentence_transformers.sentence_transformer.losses import MSELoss
from timing import compare, report
from torch import nn

import datasets
from bench.api import Task
from bench.data import Bitext, Pair, TrainingData, conlang
from bench.encoders.encoder import Encoder
from bench.encoders.models import default_recipe, model_folder
from bench.recipe import Budget
from bench.system.machine import prepare_libraries
from bench.training.teachers import load_teacher
from methods.distillation import Distillation

MODEL, BATCH = "all-MiniLM-L6-v2", 64
M = TypeVar("M", bound=nn.Module)


def sentences(count: int) -> list[str]:
    """Return generated sentences of 5 to 40 words, about as long as those of news."""
    words = " ".join(conlang.relevance(conlang.ConlangOptions()).positives).split()
    rng = np.random.default_rng(0)
    return [" ".join(rng.choice(words, size)) for size in rng.integers(5, 40, count)]


def without_dropout(model: M) -> M:
    """Turn dropout off in every layer; return the model."""
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return model


def main(steps: int = 40) -> int:
    """Train for some steps; return the exit code."""
    prepare_libraries(offline=True, threads=1)
    texts = sentences(steps * BATCH)
    pair = Pair("qaa", "eng")
    rows = Bitext(tuple(texts), tuple(texts), ("generated",) * len(texts), (pair,) * len(texts))
    data = replace(TrainingData.none((pair,)), bitext=rows)
    teacher = load_teacher(MODEL, torch.device("cpu"), offline=True)

    def student(reads_documents: bool) -> Encoder:
        return without_dropout(teacher.copy().requires_grad_(True).train())

    def ours() -> None:
        task = Task(data, teacher, student, Budget(steps, "steps"), default_recipe(MODEL), 0, "bfloat16")
        Distillation().fit(task)

    folder = str(model_folder(MODEL, offline=True))
    halved = SentenceTransformer(folder, device="cpu", model_kwargs={"dtype": torch.bfloat16})

    def theirs() -> None:
        labels = halved.encode(texts, batch_size=BATCH, show_progress_bar=False).tolist()
        model = without_dropout(SentenceTransformer(folder, device="cpu"))
        with tempfile.TemporaryDirectory() as output:
            arguments = SentenceTransformerTrainingArguments(
                output, per_device_train_batch_size=BATCH, num_train_epochs=1, bf16=True, use_cpu=True,
                save_strategy="no", report_to=[], disable_tqdm=True, logging_strategy="no",
            )  # fmt: skip
            labelled = datasets.Dataset.from_dict({"sentence": texts, "label": labels})
            SentenceTransformerTrainer(model, arguments, train_dataset=labelled, loss=MSELoss(model)).train()

    work = f"train for {steps} steps of {BATCH} sentences"
    peer = "sentence-transformers' trainer in bfloat16"
    return report("training_speed", [compare(work, ours, peer, theirs, least=1.7)])


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
