"""The kit for forecasts of the next steps of a series."""
