"""Late interaction: the score of a document is the sum over query tokens of the largest cosine with document tokens.

Source: Khattab and Zaharia, ColBERT: Efficient and Effective Passage Search via Contextualized Late Interaction over
BERT, SIGIR 2020, equation 3. Token embeddings are the last hidden states of the encoder, without a projection. Queries
are not filled up with [MASK]. The tokens [CLS], [SEP] and prompts are left out, since every text has them.

Every document is scored, since candidates by `single-vector` would miss many. With the tiny encoder and English
queries, 87 of the 100 best of the 2,000 generated passages are among the 1,000 nearest.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import takewhile

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from bench.encoders.encoder import Encoder, Side, autocast
from bench.evaluation.embeddings import BLOCK
from bench.evaluation.retrieval import Found, refuse_nonsense
from bench.evaluation.retriever import QUERY_PRECISION, DualEncoder, OnBatch

BATCH = 64


def maxsim(
    retriever: DualEncoder,
    queries: Sequence[str],
    documents: Sequence[str],
    depth: int,
    on_texts: OnBatch,
    on_embeddings: Callable[[int], None] = lambda size: None,
) -> Iterator[Found]:
    """Yield the `Found` documents with the largest scores of each block, float32.

    `on_embeddings` is called with the bytes of the embeddings of each document. Raises `BenchError` if an embedding is
    not a number.
    """
    with autocast(retriever.query_encoder.device, QUERY_PRECISION):
        vectors = dict(token_embeddings(retriever.query_encoder, list(dict.fromkeys(queries)), "query", on_texts))
    of_query = [vectors[query] for query in queries]
    tokens, lengths = torch.cat(of_query), np.array(list(map(len, of_query)))
    refuse_nonsense("query", tokens.cpu().numpy())
    query_of = np.repeat(np.arange(len(lengths)), lengths)

    def scores_of(block: Sequence[str]) -> np.ndarray:
        """Return scores, (n_queries, n_documents) float32. Equal texts are scored once."""
        place = {text: column for column, text in enumerate(dict.fromkeys(block))}
        scores = np.tile(-lengths.astype(np.float32)[:, None], len(place))
        for text, embeddings in token_embeddings(retriever.document_encoder, list(place), "document", on_texts):
            on_embeddings(embeddings.nbytes)
            if len(embeddings):
                with torch.autocast(tokens.device.type, enabled=False):  # scores are float32
                    nearest = (embeddings @ tokens.T).amax(dim=0).cpu().numpy()
                scores[:, place[text]] = np.bincount(query_of, nearest, len(lengths))
        return scores[:, [place[text] for text in block]]

    for start in range(0, len(documents), BLOCK):
        scores = scores_of(documents[start : start + BLOCK])
        refuse_nonsense("document", scores)
        yield (_largest(row, start, depth) for row in scores)


def _largest(scores: np.ndarray, start: int, depth: int) -> tuple[np.ndarray, np.ndarray]:
    """Return rows (from `start`) and values of the `depth` largest scores, with all ties of the last."""
    least = np.partition(scores, -depth)[-depth] if depth < len(scores) else -np.inf
    (rows,) = np.nonzero(scores >= least)
    return start + rows, scores[rows]


@torch.no_grad()
def token_embeddings(
    encoder: Encoder, texts: Sequence[str], side: Side, on_texts: OnBatch = lambda count: None
) -> Iterator[tuple[str, Tensor]]:
    """Yield each text, longest first, with L2-normalised embeddings of its tokens, (tokens, dim) float32."""
    encoder.eval()
    ids = encoder.tokenize(texts, side)
    order = sorted(range(len(texts)), key=lambda i: -len(ids[i]))
    for start in range(0, len(order), BATCH):
        rows = order[start : start + BATCH]
        hidden, own = own_tokens(encoder, [ids[i] for i in rows], side)
        for i, vectors, keep in zip(rows, hidden, own, strict=True):
            yield texts[i], vectors[keep]
        on_texts(len(rows))


def own_tokens(encoder: Encoder, ids: Sequence[Sequence[int]], side: Side) -> tuple[Tensor, Tensor]:
    """Return L2-normalised token embeddings of tokenised texts, (n, length, dim) float32, and a mask (n, length).

    The mask is False for padding, special tokens and the prompt.
    """
    (prompt,) = encoder.tokenize([""], side)
    batch = encoder.collate(ids)
    hidden = functional.normalize(encoder.token_embeddings(batch).float(), dim=-1)
    own = batch.attention_mask.bool() & ~batch.special
    for row, keep in zip(ids, own, strict=True):
        opening = takewhile(lambda pair: pair[0] == pair[1], zip(row, prompt, strict=False))
        keep[: len(list(opening))] = False
    return hidden, own
