"""The reference rows of every comparison, which need not be requested."""

from __future__ import annotations

from bench.api import DualEncoder, Method, Task


class ZeroShot(Method):
    """The unmodified encoder on both sides."""

    name = "zero-shot"
    source = "a reference row: the encoder without any training"
    depends_on = ()

    def fit(self, task: Task) -> DualEncoder:
        return DualEncoder(task.teacher, task.teacher)


class Oracle(ZeroShot):
    """The ceiling: the unmodified encoder, given the queries in the documents' language."""

    name = "oracle"
    source = "a reference row: human translation of the query, or the original it was translated from"
    oracle = True


class Untrained(Method):
    """The student every method starts from, before its first step; documents by the teacher."""

    name = "untrained"
    source = "a reference row: the effect of the new vocabulary and of its first embeddings alone"
    depends_on = ("data", "seed")

    def fit(self, task: Task) -> DualEncoder:
        return DualEncoder(task.make_student().eval(), task.teacher)
