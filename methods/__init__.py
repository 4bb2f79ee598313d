"""Training methods, one file each, and the building blocks they share; all they know of the harness is `bench.api`."""
