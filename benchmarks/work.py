"""The folder for benchmark outputs: below Slipway's cache, never in the repository."""

from pathlib import Path

from slipway import home


def folder() -> Path:
    return home.cache() / "benchmarks"
