"""Tools for authors of methods: the package of a new method, and the checks of methods."""
