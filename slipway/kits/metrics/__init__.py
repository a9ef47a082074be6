"""Metrics by the kind of prediction; each is defined once in the repository."""
