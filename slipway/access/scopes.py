"""What an API key may be good for; none of them includes another."""

from enum import StrEnum


class Scope(StrEnum):
    PREDICT = "predict"
    FEEDBACK = "feedback"
    SCORE = "score"
    """Batch jobs."""
    TRAIN = "train"
    """Training runs and the alerts that start them."""
    ADMIN = "admin"
    METRICS = "metrics"
