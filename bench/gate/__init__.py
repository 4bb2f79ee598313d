"""The regression gate: a baseline file with the results of a suite, and a check that computes them again.

A baseline of **five or more seeds** holds the measures and counts of each cell. Of each training it holds the method's
diagnostics, the end of the training log, the word alignment of the student and the changes to the teacher. Each seed of
the embedded suite has its own teacher. The spread over seeds therefore covers the variation between machines, where
sums are rounded differently and trainings diverge. A check computes the first seeds again and compares means over them.
The tolerance is that of a two-sided test between two means of `checked` values each, given the standard deviation s of
the baseline's S seeds:

    t(1 - alpha / (2 m), S - 1) * s * sqrt(2 / checked)

with alpha = 0.01 for all m values of the baseline together (Bonferroni). The tolerance bounds the variation between
trainings on the same queries.

A baseline of **one seed** has no spread. It is for real collections and encoders, whose trainings are too expensive to
repeat. It holds the score of each query in each cell and measure. A check compares query by query, with a two-sided
paired randomisation test over all cells and measures together (Holm) and the same alpha. The mean over n queries must
also have moved by more than 1 / n. The test covers the variation between queries and not that between trainings: a
trained method may fail it on another machine without a fault.

In both kinds counts and the teacher may not change at all. On the machine and with the libraries that made a baseline,
no value changes.
"""
