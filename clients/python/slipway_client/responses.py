"""Reads responses: errors become exceptions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx

from .errors import Canceled, Refused, refusal


def check(response: httpx.Response) -> httpx.Response:
    """Return the response.

    Raises:
        Refused: it is an error.
    """
    if response.is_success:
        return response
    raise problem_of(response)


def problem_of(response: httpx.Response) -> Refused:
    """Return the error that a response describes."""
    try:
        content = response.json()
    except ValueError:
        content = response.text
    return refusal(response.status_code, content)


def outcome(content: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the response of a task that succeeded; None while it runs.

    Raises:
        Refused: it failed.
        Canceled: it was canceled.
    """
    state = content["state"]
    if state == "failed":
        problem = content.get("problem") or {}
        raise refusal(int(problem.get("status", 500)), problem)
    if state == "succeeded":
        response: Mapping[str, Any] = content["response"]
        return response
    if state.startswith("cancel"):
        raise Canceled(f"{content.get('id', 'the task')} was canceled")
    return None
