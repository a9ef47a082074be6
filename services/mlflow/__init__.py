"""MLflow's server behind API keys: tracking, the registry, its files and its pages.

Imports MLflow's server, whose packages only the image `registry` and the development environment
have. Its clients are `slipway.registry` and MLflow's own.
"""
