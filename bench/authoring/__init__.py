"""For authors of methods: the package of a new one, and the checks of what every method must keep to."""
