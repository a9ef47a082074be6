"""What an API key may be good for; none of them includes another."""

from enum import StrEnum


class Scope(StrEnum):
    PREDICT = "predict"
    FEEDBACK = "feedback"
    SCORE = "score"
    """Batch jobs."""
    ADMIN = "admin"
    METRICS = "metrics"
