"""Exports the freshness of the online features to Prometheus."""
