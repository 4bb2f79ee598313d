"""The regression gate: a baseline file with the results of a suite, and a check that computes them again.

A baseline of five or more seeds has a tolerance for each value (`baseline.tolerance`). A baseline of one seed is
compared query by query (`baseline.compare`). docs/gate.md describes both.
"""
