"""Atomic writes, stored files with checksums, hashes, and the reading of users' files."""
