"""The model that every server serves."""
