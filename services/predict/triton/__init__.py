"""Triton backend: runs the models' graphs on a Triton Inference Server over gRPC."""
