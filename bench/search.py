"""The pipeline's exact search, for methods that mine; apart from `bench.api`, because it imports FAISS."""

from bench.evaluation.retrieval import search

__all__ = ["search"]
