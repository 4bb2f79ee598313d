"""`bench power`: how many queries and seeds a comparison needs."""

from itertools import product

import numpy as np

from bench.request import Power
from bench.statistics.power import Design, power
from bench.statistics.significance import holm_over
from bench.tables import print_table


def print_power(options: Power) -> int:
    """Print how often a comparison of two methods would be significant, by simulation, with 95 % intervals.

    Scores have a normal query effect, a normal seed effect and normal noise.
    """
    rng = np.random.default_rng(0)
    columns = ["queries", "seeds", *(f"{difference:+g}" for difference in options.difference)]
    rows = []
    for queries, seeds in product(options.queries, options.seeds):
        model = {"spread": options.sd, "noise": options.noise, "seed_spread": options.seed_sd}
        designs = [Design(queries, seeds, difference, **model) for difference in options.difference]
        shares = [power(design, rng, options.repetitions, options.comparisons) for design in designs]
        rows.append([f"{queries:,}", str(seeds), *map(str, shares)])
    notes = [
        f"sd {options.sd:g} over queries, {options.noise:.0%} of the variance noise; sd {options.seed_sd:g} over seeds",
        f"{holm_over(options.comparisons)}, {options.repetitions:,} experiments per share",
    ]
    print_table(columns, rows, title="power, by the difference of the means", right=columns, notes=notes)
    return 0
