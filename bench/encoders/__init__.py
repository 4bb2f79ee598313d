"""Encoders, their sources, and students made from them."""
