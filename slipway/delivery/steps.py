"""What a step of a workflow on GitHub hands to the steps after it."""

import os
from pathlib import Path
from typing import Literal


class NoWorkflow(Exception):
    """This does not run as a step of a workflow."""


def hand_on(to: Literal["GITHUB_ENV", "GITHUB_OUTPUT"], name: str, value: str) -> None:
    """Set a variable of later steps, or an output of this one.

    Raises:
        NoWorkflow: GitHub named no file for it.
        ValueError: the value runs over lines, and would set others as well.
    """
    if "\n" in value or "\r" in value:
        raise ValueError(f"{name} must be one line, got {value!r}")
    file = os.environ.get(to)
    if not file:
        raise NoWorkflow(f"{to} must be set: GitHub does so for the steps of a workflow")
    with Path(file).open("a") as stream:
        stream.write(f"{name}={value}\n")
