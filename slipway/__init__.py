"""Slipway: reproducible training, registration and serving of machine-learning models."""
