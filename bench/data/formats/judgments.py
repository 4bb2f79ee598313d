"""Judgments that follow from queries which read the same."""

from __future__ import annotations

from collections.abc import Sequence


def judge_alike(ids: Sequence[str], relevant: Sequence[str], *columns: Sequence[str]) -> dict[str, dict[str, int]]:
    """Qrels by query id: the query's own relevant document, and those of all queries that share a text with it.

    `ids`, `relevant` and each column (such as the queries and their oracle translations) correspond row by row;
    texts are compared within a column, letter by letter.
    """
    qrels: dict[str, dict[str, int]] = {key: {document: 1} for key, document in zip(ids, relevant, strict=True)}
    for column in columns:
        documents: dict[str, dict[str, int]] = {}
        for text, document in zip(column, relevant, strict=True):
            documents.setdefault(text, {})[document] = 1
        for key, text in zip(ids, column, strict=True):
            qrels[key].update(documents[text])
    return qrels
