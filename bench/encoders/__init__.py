"""Encoders: what they are, where they come from, and how a student is made of one."""
