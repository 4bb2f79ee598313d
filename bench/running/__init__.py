"""The execution of a comparison."""
