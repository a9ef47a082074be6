"""How a project's traffic is divided among its versions, kept in the registry."""

from slipway.policy.policy import CHALLENGER, CHAMPION, SHADOW, TAG, VARIANTS, Policy, read, write

__all__ = ["CHALLENGER", "CHAMPION", "SHADOW", "TAG", "VARIANTS", "Policy", "read", "write"]
