"""The reviewers who approved a workflow run for the environment that its job waits for."""

import json
import os
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

VARIABLE = "SLIPWAY_APPROVER"


class NotApproved(Exception):
    """Nobody approved the run, or the approvals cannot be read."""


@dataclass(frozen=True)
class WorkflowRun:
    """A run on GitHub Actions."""

    api: str
    repository: str
    id: str
    environment: str
    token: str

    @classmethod
    def current(cls) -> "WorkflowRun":
        """Return the current run, from the variables of GitHub Actions and SLIPWAY_ENVIRONMENT.

        Raises:
            NotApproved: one is missing, or the promotion log would be deleted with the checkout.
        """
        wanted = ("GITHUB_API_URL", "GITHUB_REPOSITORY", "GITHUB_RUN_ID")
        names = (*wanted, "SLIPWAY_ENVIRONMENT", "GITHUB_TOKEN")
        if missing := [name for name in names if not os.environ.get(name)]:
            raise NotApproved(f"approver: {', '.join(missing)} must be set by the workflow")
        home, checkout = os.environ.get("SLIPWAY_HOME"), os.environ.get("GITHUB_WORKSPACE", "/")
        if not home or Path(home).resolve().is_relative_to(Path(checkout).resolve()):
            raise NotApproved(
                "SLIPWAY_HOME must name the platform's own folder, outside the checkout; "
                "otherwise the promotion log is deleted with it"
            )
        return cls(*(os.environ[name] for name in names))


def approvers(run: WorkflowRun) -> list[str]:
    """Return the names of those who approved the run for its environment.

    Raises:
        NotApproved: nobody did, or GitHub did not respond.
    """
    address = f"{run.api}/repos/{run.repository}/actions/runs/{run.id}/approvals"
    headers = {"Authorization": f"Bearer {run.token}", "Accept": "application/vnd.github+json"}
    try:
        request = urllib.request.Request(address, headers=headers)
        with urllib.request.urlopen(request, timeout=30) as response:
            approvals = json.load(response)
        names = [
            str(each["user"]["login"])
            for each in approvals
            if each["state"] == "approved"
            and run.environment in [one["name"] for one in each["environments"]]
        ]
    except (urllib.error.URLError, ValueError, KeyError, TypeError, TimeoutError) as error:
        raise NotApproved(f"cannot read from GitHub who approved run {run.id}: {error}") from error
    if not names:
        raise NotApproved(
            f"nobody approved run {run.id} for the environment {run.environment}: give it "
            "required reviewers in the repository's settings"
        )
    return sorted(set(names))
