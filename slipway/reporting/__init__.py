"""What a project's `report.py` is made of: metrics and pictures of the served predictions."""

from slipway.reporting.evaluation import Evaluation

__all__ = ["Evaluation"]
