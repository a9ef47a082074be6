"""The building blocks of a project's training code."""

from slipway.training.candidates import Candidate, Fitted
from slipway.training.labelled_rows import LabelledRows

__all__ = ["Candidate", "Fitted", "LabelledRows"]
