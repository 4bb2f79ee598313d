"""Confidence intervals and significance tests of per-query scores."""
