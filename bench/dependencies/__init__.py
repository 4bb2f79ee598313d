"""The code, data and libraries that a result depends on, and their hashes."""
