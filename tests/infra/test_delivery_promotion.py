"""Promotion by approval: what the workflow runs, on a real registry, with GitHub's responses."""

import json
import os
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from slipway import home
from tests.conftest import ROOT
from tests.services.fake_models import ModelRegistryFixture, echo

# The change of these files runs the tests; see tests/by_change.py.
CONCERNS = ("infra/delivery/*", ".github/*", "slipway/registry/*")

WORKFLOW = ROOT / ".github" / "workflows" / "promote.yml"
TOKEN = "of-this-run"


class GitHub:
    """Responds like GitHub's API for the approvals of run 77, with the run's token."""

    def __init__(self) -> None:
        self.approvals: object = []
        github = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                known = self.path == "/repos/we/slipway/actions/runs/77/approvals"
                let_in = self.headers["Authorization"] == f"Bearer {TOKEN}"
                self.send_response(200 if known and let_in else 404)
                self.end_headers()
                self.wfile.write(json.dumps(github.approvals).encode())

            def log_message(self, *_: object) -> None: ...

        self.server = ThreadingHTTPServer((home.LOOPBACK, 0), Handler)

    @property
    def address(self) -> str:
        return f"http://{home.LOOPBACK}:{self.server.server_port}"


def approval(login: str, *, state: str = "approved", environment: str = "production") -> dict:
    return {
        "state": state,
        "comment": "",
        "environments": [{"id": 1, "name": environment}],
        "user": {"login": login, "id": 2},
    }


@pytest.fixture
def github() -> Iterator[GitHub]:
    made = GitHub()
    thread = threading.Thread(target=made.server.serve_forever, daemon=True)
    thread.start()
    yield made
    made.server.shutdown()
    made.server.server_close()


class Runner:
    """Runs the steps of promote.yml in order, as GitHub's runner does."""

    def __init__(self, folder: Path, fake_models: ModelRegistryFixture, github: GitHub) -> None:
        self.exported = folder / "env"
        self.exported.touch()
        (self.job,) = yaml.safe_load(WORKFLOW.read_text())["jobs"].values()
        self.variables = {
            **os.environ,
            **fake_models.variables(),
            "GITHUB_API_URL": github.address,
            "GITHUB_REPOSITORY": "we/slipway",
            "GITHUB_RUN_ID": "77",
            "GITHUB_WORKSPACE": str(ROOT),
            "GITHUB_ENV": str(self.exported),
        }
        # Under `make test` the inner make would print its level, which GitHub's runner does not.
        for name in ("SLIPWAY_APPROVER", "MAKELEVEL", "MAKEFLAGS", "MFLAGS"):
            self.variables.pop(name, None)

    def run(self, **inputs: str) -> tuple[int, str]:
        """Run until a step fails; return its exit status and all output."""
        given = {f"${{{{ inputs.{name} }}}}": value for name, value in inputs.items()}
        given |= {"${{ github.token }}": TOKEN}
        output = ""
        for step in self.job["steps"]:
            if step.get("run", "make env") == "make env":
                continue
            named = {**self.job["env"], **step.get("env", {})}
            own = {
                name: given.get(value, value)
                for name, value in named.items()
                if value in given or "${{" not in value
            }
            lines = self.exported.read_text().splitlines()
            handed_on = dict(line.split("=", 1) for line in lines)
            done = subprocess.run(
                step["run"].split(),
                cwd=ROOT,
                env=self.variables | handed_on | own,
                capture_output=True,
                text=True,
            )
            output += done.stdout + done.stderr
            if done.returncode:
                return done.returncode, output
        return 0, output


@pytest.fixture
def fake_models(tmp_path: Path) -> ModelRegistryFixture:
    made = ModelRegistryFixture(tmp_path / "fake_models")
    made.add("echo", echo("one"))
    made.add("echo", echo("two"), alias=None)
    return made


@pytest.fixture
def runner(tmp_path: Path, fake_models: ModelRegistryFixture, github: GitHub) -> Runner:
    return Runner(tmp_path, fake_models, github)


def champion(fake_models: ModelRegistryFixture) -> str:
    return str(fake_models.client.get_model_version_by_alias("echo", "champion").version)


def log(fake_models: ModelRegistryFixture) -> list[dict]:
    file = fake_models.home / "promotions.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def test_an_approved_version_is_champion_and_its_approver_on_record(
    runner: Runner, fake_models: ModelRegistryFixture, github: GitHub
) -> None:
    github.approvals = [
        approval("passer-by", environment="elsewhere"),
        approval("objector", state="rejected"),
        approval("ada"),
    ]
    status, output = runner.run(project="echo", version="2", reason="better on last week's callers")
    assert status == 0, output
    assert champion(fake_models) == "2"
    (entry,) = log(fake_models)
    assert entry["version"] == "2"
    assert entry["reason"] == "better on last week's callers"
    assert entry["evidence"]["approver"].startswith("ada, through the command line (")
    # The last step prints it.
    last = output.splitlines()[-1]
    assert "echo v2 by hand: better on last week's callers (approved by ada, through" in last
    assert "passer-by" not in output
    assert "objector" not in output


@pytest.mark.parametrize(
    "approvals",
    [
        [],
        [approval("ada", state="rejected")],
        [approval("ada", environment="staging")],
        {"message": "Not Found"},
        [approval("ada\nSLIPWAY_HOME=/tmp")],
    ],
)
def test_without_an_approval_nothing_changes(
    runner: Runner, fake_models: ModelRegistryFixture, github: GitHub, approvals: object
) -> None:
    github.approvals = approvals
    status, output = runner.run(project="echo", version="2", reason="because")
    assert status != 0
    assert "slipway: " in output
    assert champion(fake_models) == "1"
    assert log(fake_models) == []


def test_a_token_that_is_not_the_runs_learns_nothing(
    runner: Runner, fake_models: ModelRegistryFixture, github: GitHub
) -> None:
    github.approvals = [approval("ada")]
    runner.job["steps"] = [
        {**step, "env": step["env"] | {"GITHUB_TOKEN": "stolen"}} if "env" in step else step
        for step in runner.job["steps"]
    ]
    status, output = runner.run(project="echo", version="2", reason="because")
    assert status != 0
    assert "cannot read from GitHub who approved run 77" in output
    assert log(fake_models) == []


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"project": "echo", "version": "9", "reason": "x"}, "has no version '9'"),
        ({"project": "echo", "version": "2", "reason": " "}, "reason: must say why"),
        ({"project": "nothing", "version": "2", "reason": "x"}, "nothing"),
        ({"project": "echo", "version": "--help", "reason": "x"}, "has no version '--help'"),
    ],
)
def test_what_cannot_be_promoted_is_refused(
    runner: Runner,
    fake_models: ModelRegistryFixture,
    github: GitHub,
    inputs: dict[str, str],
    message: str,
) -> None:
    github.approvals = [approval("ada")]
    status, output = runner.run(**inputs)
    assert status != 0
    assert message in output
    assert champion(fake_models) == "1"
    assert log(fake_models) == []


def test_a_log_that_would_go_with_the_runner_is_refused(
    runner: Runner, fake_models: ModelRegistryFixture, github: GitHub
) -> None:
    github.approvals = [approval("ada")]
    for place in ("", str(ROOT / ".slipway")):
        runner.variables["SLIPWAY_HOME"] = place
        status, output = runner.run(project="echo", version="2", reason="because")
        assert status != 0
        assert "the promotion log is deleted with it" in output
    assert champion(fake_models) == "1"


def test_at_a_keyboard_the_same_command_names_who_typed_it(
    fake_models: ModelRegistryFixture,
) -> None:
    variables = {**os.environ, **fake_models.variables(), "PROJECT": "echo", "VERSION": "2"}
    variables.pop("SLIPWAY_APPROVER", None)
    done = subprocess.run(
        ["make", "--silent", "promote"],
        cwd=ROOT,
        env=variables | {"REASON": "tried at noon"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert champion(fake_models) == "2"
    assert log(fake_models)[0]["evidence"]["approver"].startswith("command line (")
