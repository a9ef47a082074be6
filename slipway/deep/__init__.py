"""Seeded training with torch, with learning curves and ONNX export; never imported to serve."""

from slipway.deep.export import export_onnx
from slipway.deep.loop import Plan, predict, train
from slipway.deep.seeding import deterministic

__all__ = ["Plan", "deterministic", "export_onnx", "predict", "train"]
