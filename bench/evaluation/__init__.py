"""Evaluation: retrievers, embeddings, exact search, measures."""
