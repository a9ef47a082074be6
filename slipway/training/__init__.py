"""The stages that every project goes through, and what its training code is made of."""

from slipway.training.candidates import Candidate, Fitted
from slipway.training.evaluation import Evaluation
from slipway.training.examples import Examples

__all__ = ["Candidate", "Evaluation", "Examples", "Fitted"]
