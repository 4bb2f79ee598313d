"""The pipeline's exact search, for methods that mine; apart from `bench.api`, so that no other's fingerprint has it."""

from bench.evaluation.retrieval import search

__all__ = ["search"]
