"""The results folder, and cells grouped into systems."""
