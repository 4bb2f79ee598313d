"""The commands: each is a function from models of its options to an exit code, whose docstring is its text in `--help`.

What is heavy is imported by a function only after its options are read.
"""
