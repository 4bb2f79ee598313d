"""The results folder and what is made of it."""
