"""What scores say about other queries and other seeds: intervals, tests, and the calibration of both."""
