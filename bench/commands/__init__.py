"""One module per command, called as the command is, whose docstring is what `--help` says.

Each has `add_arguments(parser)` and `main(options)`, which returns the exit code, and imports what is heavy only once
the command is known to make sense.
"""

COMMANDS = {
    "run": "train methods, evaluate them, print a leaderboard",
    "fetch": "download collections and verify them",
    "baseline": "write down what a suite gives, for bench check",
    "check": "compute a baseline again and tell what moved",
    "new-method": "write a small package with a method, to be changed",
    "validate": "check that a method keeps to what all methods must",
    "ls": "list methods, datasets, pairs, encoders or measures",
    "inspect": "look into the data, at results and at what is learned",
    "speed": "time something, such as optimal transport in a training step",
    "compare": "compare two methods, two results folders or two runs, with significance",
    "import": "let runs and scores that were made elsewhere join a leaderboard",
    "reproduce": "compute a result again from its manifest and compare",
    "leaderboard": "write and print the leaderboard of a results folder",
    "report": "write a page and plots of a results folder",
}
"""In the order of `bench --help`, with what it says of each."""
