"""What a project's training code is made of."""

from slipway.training.candidates import Candidate, Fitted
from slipway.training.examples import Examples

__all__ = ["Candidate", "Examples", "Fitted"]
