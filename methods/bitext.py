"""The parallel sentences of a task, tokenised once for the teacher and for the student."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bench.api import Batch, Encoder, Task, language_batches


class TokenizedBitext:
    """Token ids of a task's bitext: `teacher_ids` of the document side, `student_ids` of the query side.

    With `both_sides`, `student_document_ids` has the document side in the student's word pieces too.
    """

    def __init__(self, task: Task, student: Encoder, *, both_sides: bool = False) -> None:
        bitext, recipe = task.data.bitext, task.recipe
        self.batch_size, self.languages, self.exponent = recipe.batch_size, bitext.pairs, recipe.language_sampling
        self.teacher_ids = task.teacher.tokenize(bitext.document_side, "document", recipe.max_length)
        self.student_ids = student.tokenize(bitext.query_side, "query", recipe.max_length)
        self.student_document_ids = (
            student.tokenize(bitext.document_side, "query", recipe.max_length) if both_sides else []
        )

    def batches(self, rng: np.random.Generator) -> Iterator[Batch]:
        """Rows of one language, and of similar length on the query side."""
        lengths = [len(ids) for ids in self.student_ids]
        for rows in language_batches(lengths, self.languages, self.batch_size, rng, self.exponent):
            yield {"bitext": rows}
