"""`bench tune`."""

from bench.commands.run import compute
from bench.data.cards import load_cards
from bench.options import check_environment
from bench.request import Request, Tune, check_development
from bench.system.machine import prepare_libraries


def tune(options: Tune) -> int:
    """Choose the settings of trained methods on development collections, with equal effort for each method.

    Every method is tried with its defaults, and with random values of the learning rate and of the settings that it
    declares for tuning. The number of configurations, the data, the budget and the seeds are the same for each method.
    The configuration with the highest mean nDCG@10 over all cells is chosen. A CSV file has the results. Finished cells
    are not computed again.
    """
    check_environment(Tune)
    check_development(options.datasets, load_cards(options.cards))
    prepare_libraries(offline=options.offline, threads=None)
    from bench.running import tuning

    drawn = {name: tuning.draws(name, options.draws, options.seed) for name in options.methods}
    values = {name: value for name, value in options if name in Request.model_fields}
    values["methods"] = tuple(text for draws in drawn.values() for text in draws)
    request = Request(**values, measures=(tuning.MEASURE,))
    if (computed := compute(request)) is None:
        return 0
    for name, draws in drawn.items():
        settings, results = tuning.trials(draws, computed.experiment, computed.outcome.cells)
        tuning.print_trials(name, list(draws), results, wide=options.wide)
        path = tuning.write_trials(name, settings, results, options, computed.experiment.encoder)
        computed.display.say(f"written: {path}")
    computed.print_counts()
    return computed.outcome.exit_code
