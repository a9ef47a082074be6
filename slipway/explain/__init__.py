"""Explanations of single predictions: Shapley values over the fields of the record."""

from slipway.explain.explanation import Explanation, NotExplainable
from slipway.explain.shapley import Shapley

__all__ = ["Explanation", "NotExplainable", "Shapley"]
