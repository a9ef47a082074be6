"""The base classes of a project's `model.py`; imports only what serving needs."""

from slipway.contract.lookup import Lookup
from slipway.contract.model import Model, OnnxModel, publish
from slipway.contract.record import Record
from slipway.contract.streaming import StreamingModel

__all__ = ["Lookup", "Model", "OnnxModel", "Record", "StreamingModel", "publish"]
