"""Slipway: every model goes down the same ramp, from data set to served prediction."""
