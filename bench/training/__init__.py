"""Training: the contract of a method, and the one loop that all trained methods share."""
