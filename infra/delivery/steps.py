"""Pass values from a step of a GitHub workflow to later steps."""

import os
from pathlib import Path
from typing import Literal


class NoWorkflow(Exception):
    """This process is not a step of a workflow."""


def set_variable(to: Literal["GITHUB_ENV", "GITHUB_OUTPUT"], name: str, value: str) -> None:
    """Set a variable of later steps, or an output of this step.

    Raises:
        NoWorkflow: GitHub's variable with the file's name is not set.
        ValueError: the value has several lines, which would set other variables too.
    """
    if "\n" in value or "\r" in value:
        raise ValueError(f"{name} must be one line, got {value!r}")
    file = os.environ.get(to)
    if not file:
        raise NoWorkflow(f"{to} must be set: GitHub does so for the steps of a workflow")
    with Path(file).open("a") as stream:
        stream.write(f"{name}={value}\n")
