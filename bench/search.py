"""Exact search of the pipeline, for methods that mine. Separate from `bench.api`, because it imports FAISS."""

from bench.evaluation.retrieval import search

__all__ = ["search"]
