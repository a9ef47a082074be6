"""The scopes of API keys; no scope includes another."""

from enum import StrEnum


class Scope(StrEnum):
    """The kinds of requests that a key permits."""

    PREDICT = "predict"
    FEEDBACK = "feedback"
    SCORE = "score"
    """Batch jobs."""
    TRAIN = "train"
    """Training runs and the alerts that start them."""
    ADMIN = "admin"
    METRICS = "metrics"
    REGISTRY = "registry"
    """MLflow's server, reading and writing."""
    REGISTRY_READ = "registry-read"
    """MLflow's server, reading only."""
