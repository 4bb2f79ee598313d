"""Comparisons, leaderboards in all formats, and the report with its page and plots."""
