"""The trained translator of `translate-test`: a student encoder with a small decoder, and its training."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from bench.api import Batch, Encoder, Task, TrainedMethod, read_encoder, read_json, write_json
from methods.examples import TokenizedTexts, pair_batches

BATCH = 32
"""Texts that are translated together."""
HELD_OUT = 100
"""Rows of the bitext, a tenth of it at most, that the translator is tested on instead of trained."""


class Decoder(nn.Module):
    """Writes a sentence word piece by word piece, each given those before it and an encoder's token embeddings.

    One recurrent layer whose states attend to the token embeddings (Luong et al. 2015, arXiv 1508.04025, with their
    "general" score and without input feeding). Its own ids are rows of `embeddings`: 0 is the boundary that starts
    and ends every sentence, i > 0 is the word piece `pieces[i - 1]` of a tokenizer. Embeddings are tied: the predicted
    id is the row with the largest inner product.
    """

    pieces: Tensor

    def __init__(self, embeddings: Tensor, pieces: Tensor, dropout: float = 0.0) -> None:
        super().__init__()
        dimension = embeddings.shape[1]
        self.register_buffer("pieces", pieces)
        self.embeddings = nn.Embedding.from_pretrained(embeddings.clone(), freeze=False)
        self.recurrent = nn.GRU(dimension, dimension, batch_first=True)
        self.attention = nn.Linear(dimension, dimension, bias=False)
        self.combine = nn.Linear(2 * dimension, dimension)
        self.norm = nn.LayerNorm(dimension)
        self.dropout = nn.Dropout(dropout)

    def forward(self, ids: Tensor, memory: Tensor, mask: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the input of `logits` for the next ids, (n, length, dimension), and the last recurrent state.

        `ids` (n, length) int64; `memory` (n, m, dimension) with its `mask` (n, m), 0 on padding; `state` is that of an
        earlier call for the ids before these.
        """
        hidden, state = self.recurrent(self.dropout(self.embeddings(ids)), state)
        scores = self.attention(hidden) @ memory.transpose(1, 2) / memory.shape[-1] ** 0.5
        weights = scores.masked_fill(mask[:, None] == 0, -torch.inf).softmax(dim=-1)
        output = torch.tanh(self.combine(torch.cat([hidden, weights @ memory], dim=-1)))
        return self.norm(self.dropout(output)), state

    def logits(self, output: Tensor) -> Tensor:
        """Return the logits of every next id, (..., rows)."""
        return output @ self.embeddings.weight.T

    @torch.no_grad()
    def write(self, memory: Tensor, mask: Tensor, max_length: int) -> list[list[int]]:
        """Return the likeliest piece at every step, as ids of the tokenizer, up to the boundary or `max_length`."""
        last, state = torch.zeros(len(memory), 1, dtype=torch.long, device=memory.device), None
        written = last[:, :0]
        while written.shape[1] < max_length and not (written == 0).any(dim=1).all():
            output, state = self(last, memory, mask, state)
            last = self.logits(output).argmax(dim=-1)
            written = torch.cat([written, last], dim=1)
        sentences = [row[: row.index(0)] if 0 in row else row for row in written.tolist()]
        return [self.pieces[torch.tensor(row, dtype=torch.long) - 1].tolist() for row in sentences]


@dataclass(frozen=True)
class Learned:
    """A translator: an encoder, a decoder that reads its token embeddings, and the tokenizer of the target language."""

    encoder: Encoder
    decoder: Decoder
    tokenizer: Any
    max_length: int = 128

    def __post_init__(self) -> None:
        self.encoder.eval()
        self.decoder.eval()

    def translate(self, texts: Sequence[str]) -> list[str]:
        """Return the translations of a batch of texts."""
        ids = self.write(self.encoder.tokenize(texts, "query"))
        return self.tokenizer.batch_decode(ids, skip_special_tokens=True)

    @torch.no_grad()
    def write(self, source: Sequence[Sequence[int]]) -> list[list[int]]:
        """Return the word pieces of the translations, by the tokenizer's ids, of texts as ids of the encoder."""
        batch = self.encoder.collate(source)
        return self.decoder.write(self.encoder.token_embeddings(batch), batch.attention_mask, self.max_length)

    def save(self, folder: Path) -> None:
        self.encoder.save(folder / "encoder")
        save_file(self.decoder.state_dict(), folder / "decoder.safetensors")
        write_json(folder / "decoder.json", {"max_length": self.max_length})

    @classmethod
    def load(cls, folder: Path, teacher: Encoder) -> Learned:
        """Read a saved translator. It writes with the teacher's tokenizer."""
        encoder = read_encoder(folder / "encoder", teacher.name).to(teacher.device)
        tensors = load_file(folder / "decoder.safetensors")
        decoder = Decoder(tensors["embeddings.weight"], tensors["pieces"])
        decoder.load_state_dict(tensors)
        return cls(encoder, decoder.to(teacher.device), teacher.tokenizer, **read_json(folder / "decoder.json"))


class LearningToTranslate(TrainedMethod):
    """The training of a translator by the harness's own loop."""

    name = "translate-test"

    def __init__(self, max_length: int, learning_rate: float, label_smoothing: float) -> None:
        super().__init__()
        self.max_length, self.learning_rate, self.label_smoothing = max_length, learning_rate, label_smoothing

    def prepare(self, task: Task, student: Encoder) -> None:
        super().prepare(task, student)
        bitext, limit = task.data.bitext, min(task.recipe.max_length, self.max_length)
        self.sources = TokenizedTexts(student, bitext.query_side, "query", limit)
        # Without special tokens and prompts: the decoder's output is read as text.
        self.references = task.teacher.tokenizer(
            list(bitext.document_side), add_special_tokens=False, truncation=True, max_length=limit
        )["input_ids"]
        pieces = np.unique(np.fromiter((piece for ids in self.references for piece in ids), dtype=np.int64))
        self.target_ids = [np.searchsorted(pieces, ids) + 1 for ids in self.references]
        order = task.numpy_generator("held out").permutation(len(bitext))
        self.held_out, self.rows = np.split(order, [min(HELD_OUT, len(order) // 10)])
        known = task.teacher.word_embeddings.weight.detach()
        known = torch.cat([known.mean(dim=0, keepdim=True), known[pieces]])
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(task.torch_generator("decoder").initial_seed())
            self.decoder = Decoder(known, torch.from_numpy(pieces), task.recipe.dropout)
        self.decoder.to(student.device)

    @property
    def translator(self) -> Learned:
        return Learned(self.student, self.decoder, self.task.teacher.tokenizer, self.max_length)

    def modules(self) -> list[tuple[nn.Module, float]]:
        return [(self.decoder, self.learning_rate)]

    def batches(self, rng: np.random.Generator) -> Iterator[Batch]:
        rows = pair_batches(self.task, self.sources.lengths, self.task.data.bitext.pairs, rng, rows=self.rows)
        return ({"bitext": batch} for batch in rows)

    def loss(self, batch: Batch, progress: float) -> tuple[Tensor, dict[str, float]]:
        return self.cross_entropy(batch["bitext"], self.label_smoothing), {}

    def cross_entropy(self, rows: np.ndarray, smoothing: float = 0.0) -> Tensor:
        """Return the mean loss of the word pieces of the rows' document sides and the boundary after each."""
        source, device = self.sources.batch(rows), self.student.device
        length = max(len(self.target_ids[row]) for row in rows) + 1
        before, after = np.zeros((len(rows), length), np.int64), np.full((len(rows), length), -1)
        for i, row in enumerate(rows):
            pieces = self.target_ids[row]
            before[i, 1 : len(pieces) + 1] = after[i, : len(pieces)] = pieces
            after[i, len(pieces)] = 0
        memory, target = self.student.token_embeddings(source), torch.from_numpy(after).to(device)
        output, _ = self.decoder(torch.from_numpy(before).to(device), memory, source.attention_mask)
        logits = self.decoder.logits(output[target >= 0])
        return functional.cross_entropy(logits.float(), target[target >= 0], label_smoothing=smoothing)

    @torch.no_grad()
    def diagnose(self) -> dict[str, Any]:
        losses, overlaps, translator = [], [], self.translator
        for start in range(0, len(self.held_out), BATCH):
            rows = self.held_out[start : start + BATCH]
            losses += [float(self.cross_entropy(rows[i : i + 1])) for i in range(len(rows))]
            written = translator.write([self.sources.ids[row] for row in rows])
            overlaps += [overlap(ids, self.references[row]) for ids, row in zip(written, rows, strict=True)]
        return {"held_out_loss": float(np.mean(losses)), "held_out_f1": float(np.mean(overlaps))} if losses else {}


def overlap(one: Sequence[int], other: Sequence[int]) -> float:
    """Return the F1 of two sequences as multisets, 0 to 1."""
    common = (Counter(one) & Counter(other)).total()
    return 2 * common / max(len(one) + len(other), 1)
