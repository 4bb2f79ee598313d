"""A comparative benchmark of training methods for cross-lingual retrieval on low-resource languages."""

__version__ = "0.1.0"
