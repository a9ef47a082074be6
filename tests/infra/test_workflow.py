"""The workflows: each step is a command of this repository, with no more rights than it needs.

They run on GitHub alone; what they run is tested where it stands.
"""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT

# The change of these files runs the tests; see tests/by_change.py.
CONCERNS = (".github/*", "infra/delivery/*")

BIN = Path(sys.executable).parent
GITHUB = ROOT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
ACTIONS = sorted((GITHUB / "actions").glob("*/action.yml"))
MAKEFILE = (ROOT / "Makefile").read_text()
PINNED = re.compile(r"^[\w.-]+/[\w./-]+@[0-9a-f]{40}$")
# The permissions of jobs; no other job has any.
WRITES = {("train.yml", "comment"): {"pull-requests"}}


def parsed(file: Path) -> dict[str, Any]:
    """YAML 1.1 reads the key `on` as true."""
    found = yaml.safe_load(file.read_text())
    return {"on" if key is True else key: value for key, value in found.items()}


def jobs() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for file in WORKFLOWS:
        for name, job in parsed(file)["jobs"].items():
            yield file.name, name, job


def steps() -> Iterator[tuple[str, dict[str, Any]]]:
    for file, name, job in jobs():
        for step in job["steps"]:
            yield f"{file} {name}", step
    for file in ACTIONS:
        for step in parsed(file)["runs"]["steps"]:
            yield file.parent.name, step


def targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):.*## ", MAKEFILE, re.MULTILINE))


def lint(*command: object) -> subprocess.CompletedProcess[str]:
    words = [str(word) for word in command]
    return subprocess.run([str(BIN / words[0]), *words[1:]], capture_output=True, text=True)


def test_the_five_workflows_are_there() -> None:
    assert {file.stem for file in WORKFLOWS} == {"check", "train", "images", "nightly", "promote"}


def test_the_night_runs_every_test_and_a_pull_request_what_a_change_needs() -> None:
    for name, events, target in (
        ("check", {"pull_request", "push"}, "make test"),
        ("nightly", {"schedule", "workflow_dispatch"}, "make test-all"),
    ):
        workflow = parsed(GITHUB / "workflows" / f"{name}.yml")
        assert set(workflow["on"]) == events
        run = [step.get("run") for job in workflow["jobs"].values() for step in job["steps"]]
        assert target in run


def test_the_tests_of_a_pull_request_know_what_it_changes() -> None:
    """The newcomer's walk compares with the base, which a clone of depth 1 lacks."""
    job = parsed(GITHUB / "workflows" / "check.yml")["jobs"]["test"]
    assert job["steps"][0]["with"]["fetch-depth"] == 0
    assert "pull_request.base.sha" in job["env"]["SLIPWAY_TEST_SINCE"]


def test_each_step_runs_a_target_of_the_makefile_or_an_action() -> None:
    run = [(place, step["run"]) for place, step in steps() if "run" in step]
    assert len(run) > 10
    for place, command in run:
        words = shlex.split(command)
        assert words[0] == "make", f"{place}: {command}"
        assert len(words) == 2, f"{place}: {command}"
        assert words[1] in targets(), f"{place}: make has no {words[1]}"


def test_the_recipes_call_commands_that_exist() -> None:
    from typer.main import get_command

    from slipway.cli import app

    known = get_command(app)
    called = re.findall(r"\$\(BIN\)/slipway ([a-z0-9]+)(?: ([a-z]+))?", MAKEFILE)
    assert len(called) > 10
    for name, below in called:
        command = known.commands.get(name)
        assert command is not None, name
        if hasattr(command, "commands"):
            assert below in command.commands, f"{name} {below}"


def test_every_action_is_pinned_by_its_commit() -> None:
    for place, step in steps():
        used = step.get("uses", "./")
        assert used.startswith("./") or PINNED.match(used), f"{place}: {used}"
    for file in (*WORKFLOWS, *ACTIONS):
        for line in file.read_text().splitlines():
            if "uses:" in line and "./" not in line:
                assert re.search(r"@[0-9a-f]{40} # v\d+\.\d+\.\d+$", line), line


def test_one_action_has_one_pin() -> None:
    used = {step["uses"] for _, step in steps() if "@" in step.get("uses", "")}
    names = [each.partition("@")[0] for each in used]
    assert len(names) == len(set(names)), sorted(used)


def test_nothing_is_allowed_but_what_a_job_names() -> None:
    for file in WORKFLOWS:
        assert parsed(file)["permissions"] == {}, file.name
    for file, name, job in jobs():
        rights = job["permissions"]
        writing = {right for right, level in rights.items() if level != "read"}
        assert writing == WRITES.get((file, name), set()), f"{file} {name}"


def test_a_checkout_leaves_no_token_behind() -> None:
    found = [
        (place, step) for place, step in steps() if "actions/checkout@" in step.get("uses", "")
    ]
    assert len(found) >= len(WORKFLOWS)
    for place, step in found:
        assert step["with"]["persist-credentials"] is False, place


def test_no_code_of_the_change_runs_with_leave_to_write() -> None:
    checked = 0
    for file, name, job in jobs():
        if (file, name) not in WRITES:
            continue
        assert "fork" not in str(job["if"])
        assert "head.repo.full_name == github.repository" in job["if"]
        for step in job["steps"]:
            if "actions/checkout@" in step.get("uses", ""):
                assert step["with"]["ref"] == "${{ github.event.pull_request.base.sha }}"
                checked += 1
    assert checked == len(WRITES)
    assert not [file for file in WORKFLOWS if "pull_request_target" in parsed(file)["on"]]


def test_each_job_ends_in_time_and_gives_way() -> None:
    for file, name, job in jobs():
        assert 0 < job["timeout-minutes"] <= 180, f"{file} {name}"
    for file in WORKFLOWS:
        concurrency = parsed(file)["concurrency"]
        assert "${{" in concurrency["group"], file.name
        # A promotion in progress is not cancelled.
        assert concurrency["cancel-in-progress"] is (file.stem != "promote")


def test_what_others_write_reaches_a_command_as_a_variable_alone() -> None:
    for place, step in steps():
        assert "${{" not in step.get("run", ""), place
    for _, _, job in jobs():
        for name in job.get("env", {}):
            # Expanded by the shell: make would expand it as its own syntax.
            assert f"$({name})" not in MAKEFILE


def test_no_secret_stands_in_clear() -> None:
    secret = re.compile(r"(password|secret|token|key)\w*:\s*(?!\$\{\{|write|read)\S", re.IGNORECASE)
    for file in (*WORKFLOWS, *ACTIONS):
        for line in file.read_text().splitlines():
            if not line.lstrip().startswith(("key:", "restore-keys:")):
                assert not secret.search(line), f"{file.name}: {line}"


def test_a_promotion_waits_for_approval_and_names_who_gave_it() -> None:
    (job,) = parsed(GITHUB / "workflows" / "promote.yml")["jobs"].values()
    assert job["environment"] == "production"
    run = [step["run"] for step in job["steps"] if "run" in step]
    assert run.index("make approver") < run.index("make promote")
    (approver,) = [step for step in job["steps"] if step.get("run") == "make approver"]
    assert approver["env"]["SLIPWAY_ENVIRONMENT"] == job["environment"]
    assert {"PROJECT", "VERSION", "REASON", "SLIPWAY_HOME"} <= job["env"].keys()


def test_training_is_of_affected_projects_and_the_report_comes_before_the_verdict() -> None:
    job = parsed(GITHUB / "workflows" / "train.yml")["jobs"]["train"]
    run = [step["run"] for step in job["steps"] if "run" in step]
    assert run == ["make affected", "make retrain", "make report", "make gate"]
    kept = [step for step in job["steps"] if "upload-artifact" in step.get("uses", "")]
    assert "report.md" in kept[0]["with"]["path"]
    checkout = job["steps"][0]
    assert checkout["with"]["fetch-depth"] == 0


def test_each_image_is_built_listed_and_looked_at() -> None:
    job = parsed(GITHUB / "workflows" / "images.yml")["jobs"]["image"]
    run = [step["run"] for step in job["steps"] if "run" in step]
    assert run == ["make images", "make sbom", "make contents"]
    scans = [step for step in job["steps"] if "scan-action@" in step.get("uses", "")]
    assert scans[0]["with"]["fail-build"] is True
    assert job["strategy"]["matrix"]["target"] == "${{ fromJSON(needs.targets.outputs.targets) }}"


def test_the_workflows_fit_githubs_schema() -> None:
    for kind, files in (("workflows", WORKFLOWS), ("actions", ACTIONS)):
        done = lint("check-jsonschema", "--builtin-schema", f"vendor.github-{kind}", *files)
        assert done.returncode == 0, done.stdout


def test_zizmor_finds_nothing_to_attack() -> None:
    done = lint("zizmor", "--offline", "--quiet", "--pedantic", GITHUB)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("run: make promote", "run: echo ${{ inputs.reason }}"),
        ("persist-credentials: false", "fetch-depth: 1"),
        ("permissions: {}", "permissions: write-all"),
    ],
)
def test_zizmor_would_find_it(old: str, new: str, tmp_path: Path) -> None:
    text = (GITHUB / "workflows" / "promote.yml").read_text()
    assert old in text
    file = tmp_path / ".github" / "workflows" / "promote.yml"
    file.parent.mkdir(parents=True)
    file.write_text(text.replace(old, new))
    assert lint("zizmor", "--offline", "--quiet", "--pedantic", file).returncode != 0


def test_values_from_outside_are_not_run_as_commands(tmp_path: Path) -> None:
    """Hostile values for variables, in make's and the shell's syntax."""
    marks = [tmp_path / name for name in "abc"]
    done = subprocess.run(
        ["make", "--silent", "history"],
        cwd=ROOT,
        env={
            **os.environ,
            "PROJECT": f'$(shell touch {marks[0]})`touch {marks[1]}`"; touch {marks[2]}; "',
            "SLIPWAY_HOME": str(tmp_path / "home"),
        },
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert [mark for mark in marks if mark.exists()] == []


def dockerfiles() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", "*Dockerfile*"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    return [ROOT / name for name in listed.stdout.splitlines()]


@pytest.mark.parametrize("file", dockerfiles(), ids=lambda file: str(file.relative_to(ROOT)))
def test_hadolint_finds_nothing(file: Path) -> None:
    done = lint("hadolint", file)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("file", dockerfiles(), ids=lambda file: str(file.relative_to(ROOT)))
def test_what_hadolint_passes_over_has_a_reason(file: Path) -> None:
    lines = file.read_text().splitlines()
    for number, line in enumerate(lines):
        if "hadolint ignore" in line:
            above = lines[number - 1]
            assert above.startswith("# "), f"{file}:{number + 1} gives no reason above"


def test_hadolint_would_find_it(tmp_path: Path) -> None:
    file = tmp_path / "Dockerfile"
    file.write_text("FROM python:latest\nRUN cd /tmp && apt-get install git\n")
    done = lint("hadolint", file)
    assert done.returncode == 1
    assert "DL3007" in done.stdout
