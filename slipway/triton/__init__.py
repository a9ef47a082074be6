"""Triton as a second backend: the same graphs, run by a Triton Inference Server over gRPC."""
