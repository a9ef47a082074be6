"""What a project's `model.py` is made of. Serve-time imports only."""

from slipway.contract.lookup import Lookup
from slipway.contract.model import Model, OnnxModel, publish
from slipway.contract.record import Record

__all__ = ["Lookup", "Model", "OnnxModel", "Record", "publish"]
