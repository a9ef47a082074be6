"""The kit for sequences of steps, such as measurements over time."""
