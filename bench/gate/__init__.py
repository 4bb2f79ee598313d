"""The regression gate: what a suite gives, written down once, and a check that it still does.

There are two kinds of baseline, and they speak of different things.

Of **five seeds and more** a baseline holds values of every cell (measures and coverage) and of every training (the
method's diagnostics, the end of its training log, how well the student aligns words, whether the teacher stayed as it
was), each over its seeds. A seed of the embedded suite makes its own teacher too, so that the spread over seeds is also
that of another machine, where sums are rounded otherwise and a training takes another course. A check computes a few of
those seeds again and compares their means. Its tolerance is that of a two-sided test between two means of so many
values each, with the spread of the baseline's seeds s and their number S:

    t(1 - alpha / (2 m), S - 1) * s * sqrt(2 / checked)

with alpha = 0.01 for all m values of the baseline together (Bonferroni). It speaks of trainings: it is what another
course of the same training would hardly exceed, over the same queries. Which queries moved it does not see.

Of **one seed** there is no spread. Such a baseline, made of real collections with a real encoder, whose trainings are
too dear to be repeated, holds the score of each query in each cell and measure. A check compares query by query: a
paired randomisation test, two-sided, over all cells and measures together (Holm), with the same alpha; and the mean
must have moved by more than one query's worth. It speaks of queries: of whether others of their kind would see the
difference, too, between these two retrievers. Of what another course of a training would give it knows nothing, so a
trained method may fail it on another machine with nothing wrong.

Both hold what may not move at all: counts, and what must not be touched. And on the machine and with the libraries that
made a baseline nothing moves at all.
"""
