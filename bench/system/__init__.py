"""The machine, its processes and signals, and the network."""
