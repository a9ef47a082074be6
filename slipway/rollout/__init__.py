"""Promotion with proof: checks, shadow, canary, then champion, or sent back by a stated rule."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from slipway.rollout.controller import Controlled, Controller
    from slipway.rollout.plan import BadPlan, Plan
    from slipway.rollout.running import Refused, active, run, start
    from slipway.rollout.state import NoRollout, State

# Found when first asked for: the `slipway` command would start 0.3 s later with NumPy.
_PLACES = {
    "BadPlan": "plan",
    "Controlled": "controller",
    "Controller": "controller",
    "NoRollout": "state",
    "Plan": "plan",
    "Refused": "running",
    "State": "state",
    "active": "running",
    "run": "running",
    "start": "running",
}

__all__ = [
    "BadPlan",
    "Controlled",
    "Controller",
    "NoRollout",
    "Plan",
    "Refused",
    "State",
    "active",
    "run",
    "start",
]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_PLACES[name]}"), name)
