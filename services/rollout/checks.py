"""Checks of a version before it gets a request: gate, parity, comparison with the champion."""

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from services.rollout import traffic
from services.rollout.plan import Check, RolloutPlan
from slipway import home

Evidence = dict[str, Any]


class NotMet(Exception):
    """Raised if a check fails; the message says by how much."""


def run_checks(project: str, version: str, champion: str | None, plan: RolloutPlan) -> Evidence:
    """Run the checks of the plan in order, and return the evidence of each.

    Raises:
        NotMet: a check failed.
        traffic.NoVersion: there is no such version.
        Exception: the registry cannot be reached.
    """
    registered = traffic.version(project, version)
    evidence: Evidence = {}
    checks: dict[Check, Callable[[], Evidence]] = {
        "gate": lambda: _gate(registered),
        "parity": lambda: _parity(registered, plan),
        "comparison": lambda: _comparison(project, version, champion, plan),
    }
    for name, run in checks.items():
        evidence[name] = run() if name in plan.checks else "left out by the plan"
    return evidence


def _run(registered: Any) -> Any:
    """Return the data of the version's MLflow run."""
    if not registered.run_id:
        raise NotMet(
            f"gate not met: {registered.name} v{registered.version} has no MLflow run with "
            "metrics; register it with `slipway register`, or leave the checks out of the plan"
        )
    return traffic.registry().get_run(registered.run_id).data


def _gate(registered: Any) -> Evidence:
    data = _run(registered)
    state = data.tags.get("gate", "never checked")
    if state != "met":
        raise NotMet(f"gate not met: must be met, got {state!r}")
    return {"metrics": dict(sorted(data.metrics.items()))}


def _parity(registered: Any, plan: RolloutPlan) -> Evidence:
    metrics = _run(registered).metrics
    found = {name: metrics.get(name) for name in ("parity_error", "parity_agreement")}
    error, agreement = found["parity_error"], found["parity_agreement"]
    if error is None or not error <= plan.parity_error:
        raise NotMet(f"parity not met: parity_error <= {plan.parity_error:g}, got {_format(error)}")
    if agreement is None or not agreement >= plan.parity_agreement:
        raise NotMet(
            f"parity not met: parity_agreement >= {plan.parity_agreement:g}, "
            f"got {_format(agreement)}"
        )
    return found


def _format(value: float | None) -> str:
    return "no such metric" if value is None else f"{value:.4g}"


def _comparison(project: str, version: str, champion: str | None, plan: RolloutPlan) -> Evidence:
    """Compare in a process of its own, because the code of both versions may hang or crash."""
    if champion is None:
        return {"reason": "first champion"}
    command = [sys.executable, "-m", "services.rollout.comparison", project, version, champion]
    try:
        done = subprocess.run(
            command,
            cwd=home.root(),
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=plan.comparison_seconds,
        )
    except subprocess.TimeoutExpired:
        raise NotMet(f"comparison not met: no result in {plan.comparison_seconds:g} s") from None
    if done.returncode < 0:
        # Ended from outside, for example by `make down`: that says nothing about the version.
        raise RuntimeError(f"the comparison was ended by signal {-done.returncode}; will retry")
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"ended with {done.returncode}"])[-1]
        raise NotMet(f"comparison not met: {last}")
    result: Evidence = json.loads(done.stdout.splitlines()[-1])
    if not result["not_worse"]:
        raise NotMet(f"comparison not met: {result['reason']}")
    return result
