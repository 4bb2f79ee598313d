"""Text encoders: a transformer with its tokenizer, pooling and prompts, as one trainable module."""

from __future__ import annotations

import copy
import json
import math
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from torch.utils.checkpoint import checkpoint
from transformers.utils import logging as transformers_logging

from bench.dependencies.fingerprint import library_versions
from bench.encoders import sharing
from bench.errors import BenchError
from bench.storage.hashing import digest, digest_bytes, digest_texts
from bench.storage.sealed import remembered

Side = Literal["query", "document"]
transformers_logging.set_verbosity_error()
transformers_logging.disable_progress_bar()

POOLINGS = ("mean", "cls", "max")
MANY = 1000
"""Minimum number of texts for caching their token ids."""
TOKENS = {False: 1024, True: 4096}
"""Tokens of texts of similar length that go through the transformer together, padding included, in inference and in
training. On a processor, small groups were the fastest in inference, and large ones in training, where
each group adds to the gradients of all weights."""
LONG = 512
"""Maximum of tokens of a text for unfused attention in inference, since its memory is quadratic."""
GPU_TOKENS = 1 << 16
"""Tokens of a group on a GPU."""


@dataclass(frozen=True)
class TokenBatch:
    """A padded batch of token ids.

    `input_ids`, `attention_mask`: (n, length) int64; `special`: (n, length) bool, True on [CLS], [SEP] and the like;
    `tokens`: the number of tokens, padding excluded.
    """

    input_ids: Tensor
    attention_mask: Tensor
    special: Tensor
    tokens: int


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Return the context of forward passes in bfloat16 or float32."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bfloat16")


class Encoder(nn.Module):
    """A transformer encoder; `forward` pools, `token_embeddings` does not, `encode` is for inference."""

    def __init__(
        self,
        transformer: Any,
        tokenizer: Any,
        *,
        name: str,
        pooling: str = "mean",
        max_length: int = 256,
        prompts: dict[Side, str] | None = None,
    ) -> None:
        super().__init__()
        if pooling not in POOLINGS:
            raise BenchError(f"encoder '{name}' pools by '{pooling}'; supported: mean, cls, max")
        self.transformer: Any = transformer
        self.tokenizer = tokenizer
        self.name = name
        self.pooling = pooling
        self.max_length = max_length
        self.prompts: dict[Side, str] = {"query": "", "document": "", **(prompts or {})}
        self.attention = transformer.config._attn_implementation
        self.recompute = False
        """True to keep the activations of one group of texts at a time, and to compute the others again for gradients.
        Large batches fit into memory then, for more time. It changes no result."""
        self.tokens_seen = 0
        self.token_cache: Path | None = None
        """The folder that caches token ids; None for no cache. It changes no result."""

    def train(self, mode: bool = True) -> Encoder:
        """Enter or leave training. A processor uses unfused attention where that is faster: in training, and in
        bfloat16 without AMX.
        """
        if self.device.type == "cpu":
            amx = torch.cpu.get_capabilities().get("amx_bf16")
            unfused = mode or (torch.is_autocast_enabled("cpu") and self.max_length <= LONG and not amx)
            self.transformer.set_attn_implementation("eager" if unfused else self.attention)
        return super().train(mode)

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    @property
    def dimension(self) -> int:
        return int(self.transformer.config.hidden_size)

    @property
    def structural_ids(self) -> list[int]:
        """The ids of special tokens such as [CLS] and [SEP], without [UNK]."""
        return [token for token in self.tokenizer.all_special_ids if token != self.tokenizer.unk_token_id]

    @property
    def word_embeddings(self) -> nn.Embedding:
        return self.transformer.get_input_embeddings()

    def tokenize(
        self, texts: Sequence[str], side: Side, max_length: int | None = None, *, cached: bool = True
    ) -> list[list[int]]:
        """Return the token ids of each text with its side's prompt and special tokens, cut to `max_length` tokens.

        Texts are composed first (Unicode's form C), so that equal words have equal pieces.
        Those of many texts are stored in `token_cache`, unless `cached` is false.
        """
        limit = min(max_length or self.max_length, self.max_length)
        # as in sentence-transformers, for comparable embeddings
        prompted = [unicodedata.normalize("NFC", self.prompts[side] + text.strip()) for text in texts]

        def token_ids() -> list[list[int]]:
            return self.tokenizer(prompted, truncation=True, max_length=limit, padding=False)["input_ids"]

        if self.token_cache is None or not cached or len(texts) < MANY:
            return token_ids() if prompted else []
        state = [self.tokenizer_state(), self.tokenizer.truncation_side]
        key = digest([digest_texts(prompted), limit, state, library_versions("tokenizers", "transformers")])
        ids: list[list[int]] = remembered(self.token_cache / f"{key}.json", token_ids)
        return ids

    def unknown_pieces(self, texts: Sequence[str], side: Side) -> float | None:
        """Return the share of [UNK] among the word pieces of texts; None if the tokenizer has no [UNK]."""
        if self.tokenizer.unk_token_id is None:
            return None
        pieces = [piece for ids in self.tokenize(texts, side) for piece in ids]
        return pieces.count(self.tokenizer.unk_token_id) / max(1, len(pieces))

    def collate(self, ids: Sequence[Sequence[int]]) -> TokenBatch:
        """Pad token ids to the longest of the batch, on this encoder's device."""
        rows = [torch.tensor(row, dtype=torch.int64) for row in ids]
        padded = pad_sequence(rows, batch_first=True, padding_value=self.tokenizer.pad_token_id or 0)
        mask = pad_sequence([torch.ones_like(row) for row in rows], batch_first=True)
        special = torch.isin(padded, torch.tensor(self.structural_ids))
        return TokenBatch(padded.to(self.device), mask.to(self.device), special.to(self.device), int(mask.sum()))

    def token_embeddings(self, batch: TokenBatch, layer: int = -1) -> Tensor:
        """Return the hidden states of a layer, (n, length, dimension); those of padding are undefined.

        0 is the input of the first layer, -1 the output of the last.
        """
        self.tokens_seen += batch.tokens
        lengths, order = batch.attention_mask.sum(dim=1).sort(descending=True, stable=True)
        groups, (rank, size) = [], sharing.share()
        for i, (rows, length) in enumerate(self._groups(order, lengths.tolist(), size)):
            if i % size == rank:
                inputs = batch.input_ids[rows, :length], batch.attention_mask[rows, :length], layer
                recompute = self.recompute and torch.is_grad_enabled()
                hidden = checkpoint(self._hidden, *inputs, use_reentrant=False) if recompute else self._hidden(*inputs)
            else:
                hidden = torch.zeros(len(rows), length, self.dimension, device=self.device)
            groups.append(nn.functional.pad(hidden, (0, 0, 0, batch.input_ids.shape[1] - length)))
        together = torch.cat(groups)[order.argsort()]
        return together if size == 1 else sharing.exchange(together.float())

    def _hidden(self, input_ids: Tensor, attention_mask: Tensor, layer: int) -> Tensor:
        inputs = {"input_ids": input_ids, "attention_mask": attention_mask}
        output = self.transformer(**inputs, output_hidden_states=layer != -1)
        hidden: Tensor = output.last_hidden_state if layer == -1 else output.hidden_states[layer]
        return hidden

    def _groups(self, order: Tensor, lengths: Sequence[int], size: int) -> Iterator[tuple[Tensor, int]]:
        """Yield the rows of a group and its longest length; `lengths` are those of the rows in `order`, descending.

        There are groups for `size` processes, if there are as many rows.
        """
        most, start = TOKENS[self.training] if self.device.type == "cpu" else GPU_TOKENS, 0
        if size > 1:
            most = min(most, math.ceil(sum(lengths) / size))
        while start < len(lengths):
            end = start + max(1, most // max(1, lengths[start]))
            yield order[start:end], lengths[start]
            start = end

    def pool(self, hidden: Tensor, batch: TokenBatch) -> Tensor:
        """Return pooled hidden states, (n, dimension) float32, not normalised."""
        hidden = hidden.float()
        mask = batch.attention_mask.unsqueeze(-1).float()
        if self.pooling == "cls":
            return hidden[:, 0]
        if self.pooling == "max":
            return hidden.masked_fill(mask == 0, -torch.inf).max(dim=1).values
        return (hidden * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1e-9)

    def forward(self, batch: TokenBatch) -> Tensor:
        """Return pooled embeddings, (n, dimension) float32, not normalised."""
        return self.pool(self.token_embeddings(batch), batch)

    @torch.no_grad()
    def encode(
        self,
        texts: Sequence[str],
        side: Side,
        *,
        batch_size: int = 64,
        on_batch: Callable[[int], None] | None = None,
    ) -> np.ndarray:
        """Return L2-normalised embeddings, (n, dimension) float32, in the order of `texts`.

        Equal texts are encoded once, so that their embeddings and scores are exactly equal.
        """
        unique = list(dict.fromkeys(texts))
        # Embeddings of frozen encoders are cached, so a cache of their token ids has no use.
        ids = self.tokenize(unique, side, cached=False)
        order = sorted(range(len(unique)), key=lambda i: -len(ids[i]))
        vectors = np.empty((len(unique), self.dimension), dtype=np.float32)
        training = self.training
        self.eval()
        try:
            for start in range(0, len(order), batch_size):
                rows = order[start : start + batch_size]
                pooled = self(self.collate([ids[i] for i in rows]))
                vectors[rows] = nn.functional.normalize(pooled, dim=-1).cpu().numpy()
                if on_batch is not None:
                    on_batch(len(rows))
        finally:
            self.train(training)
        row_of = {text: i for i, text in enumerate(unique)}
        return vectors[[row_of[text] for text in texts]]

    def fingerprint(self) -> str:
        """Return a hash of everything that can change the embeddings."""
        weights = [
            (name, digest_bytes(tensor.detach().cpu().contiguous().numpy().tobytes()))
            for name, tensor in sorted(self.state_dict().items())
        ]
        config = self.transformer.config.to_diff_dict()
        for incidental in ("_name_or_path", "transformers_version", "dtype"):
            config.pop(incidental, None)
        return digest([weights, config, self.tokenizer_state(), self.pooling, self.max_length, self.prompts])

    def tokenizer_state(self) -> Any:
        state = json.loads(self.tokenizer.backend_tokenizer.to_str())
        # Calls of the tokenizer change its truncation and padding.
        state.pop("truncation"), state.pop("padding")
        return state

    def copy(self) -> Encoder:
        """Return a deep copy."""
        return copy.deepcopy(self)

    def freeze(self) -> Encoder:
        """Turn off gradients and dropout, and return the encoder."""
        return self.eval().requires_grad_(False)
