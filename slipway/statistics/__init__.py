"""Statistics of running services; NumPy and the standard library only."""
