"""Training: the contract of a method, and the one loop that all of them go through."""
