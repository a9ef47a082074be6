"""The building blocks of a project's `report.py`: metrics and plots of test predictions."""

from slipway.reporting.evaluation import Evaluation

__all__ = ["Evaluation"]
