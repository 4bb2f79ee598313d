"""Running a comparison: its plan, its materials, its execution."""
