"""The tiny encoder: two layers, trained from scratch on the generated English world.

It needs no download and less than a minute. It does not replace a real English retriever.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from torch import Tensor
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from bench.data import Bitext, Pair, TrainingData, conlang
from bench.encoders.encoder import Encoder
from bench.encoders.folders import read_encoder, save_encoder
from bench.encoders.vocabulary import learn_wordpieces
from bench.recipe import Budget, Recipe
from bench.sampling import length_buckets, torch_generator
from bench.storage.atomic import sweep
from bench.storage.sealed import sealed_folder
from bench.training.loop import Batch, TrainedConfig, TrainedMethod
from bench.training.losses import info_nce
from bench.training.method import Task

RECIPE = Recipe(learning_rate=2e-3, embedding_learning_rate=2e-3, vocabulary_size=2_000, max_length=64)
BUDGET = Budget(400, "steps")
TEMPERATURE = 0.05


class EnglishRetrieval(TrainedMethod):
    """Contrastive training on English questions and passages."""

    name = "english-retrieval"

    def prepare(self, task: Task, student: Encoder) -> None:
        super().prepare(task, student)
        limit = task.recipe.max_length
        self.queries = student.tokenize(task.data.relevance.queries, "query", limit)
        self.positives = student.tokenize(task.data.relevance.positives, "document", limit)

    def batches(self, rng: np.random.Generator) -> Iterator[Batch]:
        lengths = [len(ids) for ids in self.positives]
        for rows in length_buckets(lengths, self.task.recipe.batch_size, rng):
            yield {"relevance": rows}

    def loss(self, batch: Batch, progress: float) -> tuple[Tensor, dict[str, float]]:
        queries, positives = (
            self.student(self.student.collate([ids[i] for i in batch["relevance"]]))
            for ids in (self.queries, self.positives)
        )
        return info_nce(queries, positives, TEMPERATURE), {}


def tiny_encoder(
    folder: Path,
    seed: int = 0,
    on_step: Callable[[dict[str, Any]], None] = lambda record: None,
    on_damage: Callable[[str], None] = lambda text: None,
) -> Encoder:
    """Return the trained tiny encoder, which is made once and stored in a folder if possible.

    A damaged one is trained again, after a call of `on_damage` with a line.
    """

    def make(partial: Path) -> dict[str, Any]:
        with one_thread():
            save_encoder(_train(seed, on_step), partial)
        encoder = read_encoder(partial, "tiny").freeze()
        return {"fingerprint": encoder.fingerprint(), "dimension": encoder.dimension}

    try:
        sweep(folder.parent)
        sealed_folder(folder, make, on_damage=lambda text: on_damage(f"{text}; the encoder is trained again"))
        return read_encoder(folder, "tiny")
    except OSError:
        with TemporaryDirectory() as other:
            make(Path(other))
            return read_encoder(Path(other), "tiny")


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute with one thread within the block, so that sums have one order."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _train(seed: int, on_step: Callable[[dict[str, Any]], None]) -> Encoder:
    relevance = conlang.relevance(conlang.ConlangOptions())
    untrained = _untrained([*relevance.queries, *relevance.positives], seed)
    data = TrainingData((Pair("eng", "eng"),), Bitext.join([]), relevance)
    task = Task(data, untrained, lambda **_: untrained, BUDGET, RECIPE, seed=seed, on_step=on_step)
    return EnglishRetrieval(TrainedConfig(document_encoder="student")).fit(task).query_encoder


def _untrained(texts: list[str], seed: int) -> Encoder:
    tokenizer = wordpiece_tokenizer(texts, RECIPE.vocabulary_size)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=256,
        max_position_embeddings=128,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(torch_generator(seed, "tiny encoder").initial_seed())
        transformer = BertModel(config, add_pooling_layer=False)
    return Encoder(transformer, tokenizer, name="tiny", max_length=128)


def wordpiece_tokenizer(texts: Sequence[str], size: int) -> PreTrainedTokenizerFast:
    """Return an uncased WordPiece tokenizer like BERT's with at most `size` pieces learned on `texts`."""
    backend = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    pieces = learn_wordpieces(texts, size, special, backend)
    backend.model = models.WordPiece({piece: i for i, piece in enumerate(pieces)}, unk_token="[UNK]")
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", special.index("[CLS]")), ("[SEP]", special.index("[SEP]"))]
    )
    names = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
    return PreTrainedTokenizerFast(tokenizer_object=backend, **dict(zip(names, special, strict=True)))
