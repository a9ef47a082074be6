"""The split of a project's traffic among its versions; stored in the registry."""

from slipway.policy.policy import (
    CHALLENGER,
    CHAMPION,
    SHADOW,
    TAG,
    VARIANTS,
    Policy,
    for_latency,
    read,
    write,
)

__all__ = [
    "CHALLENGER",
    "CHAMPION",
    "SHADOW",
    "TAG",
    "VARIANTS",
    "Policy",
    "for_latency",
    "read",
    "write",
]
