"""Running a comparison: its experiment, its resources, its execution."""
