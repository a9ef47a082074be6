"""Rollouts: checks, shadow, canary, then champion, or rolled back by a documented rule."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from services.rollout.controller import AlreadyControlled, Controller
    from services.rollout.plan import BadPlan, RolloutPlan
    from services.rollout.running import RolloutRefused, active, run, start
    from services.rollout.state import NoRollout, RolloutState

# Imported on first use: NumPy would delay the start of the `slipway` command by 0.3 s.
_MODULES = {
    "AlreadyControlled": "controller",
    "BadPlan": "plan",
    "Controller": "controller",
    "NoRollout": "state",
    "RolloutPlan": "plan",
    "RolloutRefused": "running",
    "RolloutState": "state",
    "active": "running",
    "run": "running",
    "start": "running",
}

__all__ = [
    "AlreadyControlled",
    "BadPlan",
    "Controller",
    "NoRollout",
    "RolloutPlan",
    "RolloutRefused",
    "RolloutState",
    "active",
    "run",
    "start",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
