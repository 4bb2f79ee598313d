"""The commands. Each is a function from options to an exit code, and its docstring is its text in `--help`.

A function imports heavy modules only after its options are read.
"""
