"""Atomic writes, stored files with checksums, and hashes."""
