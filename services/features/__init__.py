"""Tells Prometheus how fresh the online features are."""
