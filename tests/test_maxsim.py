"""MaxSim against brute force: every text by itself, every pair of tokens, in double precision."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from conftest import make_encoder

from bench.data import Ids, TestCollection
from bench.encoders.encoder import Encoder, Side
from bench.errors import BenchError
from bench.evaluation.maxsim import maxsim
from bench.evaluation.retrieval import best
from bench.evaluation.retriever import DualEncoder

PROMPTS = {"query": "who saw: ", "document": "the old boat: "}


@torch.no_grad()
def tokens_of(encoder: Encoder, text: str, side: Side) -> np.ndarray:
    """L2-normalised embeddings of the tokens that lie in the text, by the tokenizer's own account of where they lie."""
    encoder.eval()
    prompt = encoder.prompts[side]
    given = encoder.tokenizer(
        prompt + text, return_tensors="pt", return_offsets_mapping=True, return_special_tokens_mask=True
    )
    hidden = encoder.transformer(input_ids=given["input_ids"]).last_hidden_state[0].double().numpy()
    starts, special = given["offset_mapping"][0, :, 0].numpy(), given["special_tokens_mask"][0].numpy()
    hidden = hidden[(special == 0) & (starts >= len(prompt))]
    return hidden / np.linalg.norm(hidden, axis=1, keepdims=True)


def by_hand(retriever: DualEncoder, queries: Sequence[str], documents: Sequence[str]) -> np.ndarray:
    """Scores of all pairs, (n_queries, n_documents) float64."""
    corpus = [tokens_of(retriever.document_encoder, text, "document") for text in documents]
    asked = [tokens_of(retriever.query_encoder, text, "query") for text in queries]
    return np.array([[(query @ document.T).max(axis=1).sum() for document in corpus] for query in asked])


def scores(retriever: DualEncoder, queries: Sequence[str], documents: Sequence[str]) -> np.ndarray:
    """The same by `maxsim`, all of them, float32."""
    found = np.full((len(queries), len(documents)), np.nan, dtype=np.float32)
    for block in maxsim(retriever, queries, documents, len(documents), lambda count: None):
        for row, (columns, values) in zip(found, block, strict=True):
            row[columns] = values
    return found


@pytest.fixture
def retriever(teacher: Encoder, collection: TestCollection) -> DualEncoder:
    """Two encoders with word pieces and prompts of their own; the student is left as training leaves it."""
    student = make_encoder(collection.queries, seed=3, prompts=PROMPTS).train()
    for module in student.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.5
    return DualEncoder(student, make_encoder(seed=4, prompts=PROMPTS))


@pytest.mark.parametrize("block", [7, 100])
def test_ranking_is_that_of_brute_force(
    retriever: DualEncoder, collection: TestCollection, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.evaluation.maxsim.BLOCK", block)
    monkeypatch.setattr("bench.evaluation.maxsim.BATCH", 3)
    read: list[int] = []
    sizes: list[int] = []
    names = Ids(collection.query_ids, collection.document_ids)
    found = maxsim(retriever, collection.queries, collection.documents, 10, read.append, sizes.append)
    run = best(found, names, 10)
    exact = by_hand(retriever, collection.queries, collection.documents)
    for query, row in zip(collection.query_ids, exact, strict=True):
        order = np.argsort(-row)[:10]
        assert [document for document, _ in run[query]] == [collection.document_ids[i] for i in order]
        assert [value for _, value in run[query]] == pytest.approx(row[order].tolist(), abs=1e-5)
    assert sum(read) == len(collection.queries) + len(collection.documents)
    texts = dict.fromkeys(collection.documents)
    assert sum(sizes) == 4 * sum(tokens_of(retriever.document_encoder, text, "document").size for text in texts)


def test_equal_texts_have_equal_scores(retriever: DualEncoder, collection: TestCollection) -> None:
    """Padding and the order of sums may change the last digit."""
    documents = [*collection.documents, *collection.documents[::-1]]
    found = scores(retriever, [*collection.queries, *collection.queries], documents)
    assert np.array_equal(found[:, :40], found[:, :39:-1])
    assert np.array_equal(found[:20], found[20:])
    names = Ids(["q"], [f"d{i:02d}" for i in range(80)])
    (ranking,) = best(maxsim(retriever, collection.queries[:1], documents, 80, lambda count: None), names, 80).values()
    ids = [int(document[1:]) for document, _ in ranking]
    assert all(first + second == 79 and first < second for first, second in zip(ids[::2], ids[1::2], strict=True))


def test_text_without_tokens_is_last_and_asks_for_nothing(retriever: DualEncoder) -> None:
    found = scores(retriever, ["", "ehté taceé"], ["the cat", "", "the dog"])
    assert found[0].tolist() == [0, 0, 0]
    assert found[1, 1] == -len(tokens_of(retriever.query_encoder, "ehté taceé", "query")) < found[1].max()
    assert found[1].argmin() == 1


@pytest.mark.parametrize("side", ["query", "document"])
def test_embedding_that_is_no_number_is_refused(retriever: DualEncoder, side: Side) -> None:
    with torch.no_grad():
        getattr(retriever, f"{side}_encoder").word_embeddings.weight.fill_(torch.nan)
    with pytest.raises(BenchError, match=f"a {side} embedding is not a number"):
        scores(retriever, ["ehté taceé"], ["the cat"])
