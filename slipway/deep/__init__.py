"""Seeded training with torch, with learning curves and ONNX export; never imported to serve."""

from slipway.deep.checkpoint import Checkpoint, key_of
from slipway.deep.export import export_onnx
from slipway.deep.loop import Plan, predict, train
from slipway.deep.progress import Progress
from slipway.deep.seeding import deterministic

__all__ = [
    "Checkpoint",
    "Plan",
    "Progress",
    "deterministic",
    "export_onnx",
    "key_of",
    "predict",
    "train",
]
