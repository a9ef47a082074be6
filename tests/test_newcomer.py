"""A fresh clone, used as a newcomer would: the README's commands, and what goes wrong."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from slipway import home
from slipway.home import free_port
from slipway.project import Project, discover
from tests.conftest import ROOT, copy_checkout
from tests.waiting import PATIENCE, until

BLOCK = re.compile(r"^```sh\n(.*?)^```", re.DOTALL | re.MULTILINE)


def shell_blocks(file: Path) -> list[str]:
    return BLOCK.findall(file.read_text())


# Appended to a data.py: as few rows as the tests train it on elsewhere.
FEW = """

def _first(split_all, rows):
    from itertools import islice

    def splits(dataset, **parameters):
        every = split_all(dataset, **parameters)
        return {{name: list(islice(split, rows)) for name, split in every.items()}}

    return splits


splits = _first(splits, {rows})
"""


def shrink(project: Project) -> None:
    """Train it in seconds: few rows, its parameters under `tiny`, a gate that lets it pass."""
    file = project.folder / "params.yaml"
    params = yaml.safe_load(file.read_text())
    for stage, values in params["tiny"].items():
        if stage != "rows":
            params.setdefault(stage, {}).update(values)
    params["gate"] = {
        metric: ">= -1e9" if condition.startswith(">=") else "<= 1e9"
        for metric, condition in params["gate"].items()
    }
    params["profile"] = False
    file.write_text(yaml.safe_dump(params, sort_keys=False))
    with (project.folder / "data.py").open("a") as data:
        data.write(FEW.format(rows=project.params.tiny.rows))


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The committed and uncommitted files of this checkout, nothing that git ignores."""
    folder = tmp_path_factory.mktemp("newcomer") / "slipway"
    copy_checkout(folder)
    subprocess.run(["git", "init", "-q", "-b", "main"], cwd=folder, check=True)
    for project in discover(folder):
        # Titanic keeps its own, a quarter of a minute: its committed lock is to be true.
        if project.name != "titanic":
            shrink(project)
    return folder


@pytest.fixture(scope="module")
def environment(clone: Path) -> Iterator[dict[str, str]]:
    """Ports of its own, nothing inherited from this environment, and everything stopped after."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(
            ("SLIPWAY_H", "MLFLOW", "VIRTUAL_ENV", "BENTOML", "MAKE", "DVC", "JDK")
        )
    }
    # The interpreter without this environment's packages.
    kept["PATH"] = os.pathsep.join(
        [
            str(Path(sys.base_prefix) / "bin"),
            *(part for part in os.environ["PATH"].split(os.pathsep) if ".venv" not in part),
        ]
    )
    # Of the load only that it runs: how fast a busy machine is, is for benchmarks.
    kept |= {"SLIPWAY_LOAD_SECONDS": "3", "SLIPWAY_LOAD_P99_MS": "60000"}
    kept |= {f"SLIPWAY_{name.upper()}_PORT": str(free_port()) for name in home.PORTS}
    # Beside this checkout, not beside the clone.
    kept.setdefault("SLIPWAY_MIRROR", str(home.mirror()))
    yield kept
    subprocess.run(["make", "down"], cwd=clone, env=kept, capture_output=True)


def shell(
    command: str, clone: Path, env: dict[str, str], seconds: float = 800
) -> subprocess.CompletedProcess[str]:
    """Run a README's command as it stands there, but for the port."""
    moved = command
    for name, port in home.PORTS.items():
        own = env[f"SLIPWAY_{name.upper()}_PORT"]
        moved = moved.replace(f"127.0.0.1:{port}", f"127.0.0.1:{own}")
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", moved],
        cwd=clone,
        env=env,
        capture_output=True,
        text=True,
        timeout=seconds,
        stdin=subprocess.DEVNULL,
    )


def asks(command: str) -> bool:
    return command.startswith("curl") and "/predict " in command


def followed(command: str, clone: Path, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run it; the model server takes up what was just trained within seconds."""
    deadline = time.monotonic() + PATIENCE
    while True:
        done = shell(command, clone, env)
        served = '"predictions":[{' in done.stdout
        if served or not asks(command) or time.monotonic() > deadline:
            return done
        time.sleep(1)


def activated(env: dict[str, str], clone: Path) -> dict[str, str]:
    return {**env, "PATH": f"{clone / '.venv' / 'bin'}{os.pathsep}{env['PATH']}"}


def test_a_killed_make_up_starts_again_and_ends_well(
    clone: Path, environment: dict[str, str]
) -> None:
    process = subprocess.Popen(
        ["make", "up"],
        cwd=clone,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    told = []
    for line in process.stdout:
        told.append(line)
        if "titanic: > python -m slipway fit" in line:
            break
    else:
        raise AssertionError("make up ended before Titanic was fitted:\n" + "".join(told))
    time.sleep(1)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    done = shell("make up", clone, environment)
    assert done.returncode == 0, done.stdout + done.stderr
    names = ", ".join(sorted(each.name for each in discover(clone) if each.params.starter))
    assert f"served: {names}" in done.stdout
    # The starters are some of what the leaderboard's stage depends on; its lock tells of all.
    assert (clone / "dvc.lock").read_text() == (ROOT / "dvc.lock").read_text()
    curl = next(line for line in done.stdout.splitlines() if line.startswith("curl"))
    answer = shell(curl, clone, environment)
    assert '"predictions":[{' in answer.stdout, answer.stdout + answer.stderr
    verified = shell("slipway verify", clone, activated(environment, clone))
    assert verified.returncode == 0, verified.stdout + verified.stderr
    *_, left, last = verified.stdout.splitlines()
    assert left.startswith("not trained here: ab_test, ")
    assert last == "4 projects answer as their metrics.json says"


# It trains every project, and asks each page's questions.
@pytest.mark.timeout(4800)
def test_every_command_of_the_readmes_works(clone: Path, environment: dict[str, str]) -> None:
    files = [clone / "README.md", clone / "CONTRIBUTING.md"]
    files += [project.folder / "README.md" for project in discover(clone)]
    files += sorted((clone / "services").glob("*/README.md"))
    files += [clone / "feature_repo" / "README.md", clone / "benchmarks" / "README.md"]
    files += [clone / "docs" / "operations.md", *sorted((clone / "docs" / "systems").glob("*.md"))]
    # The page of k8s/ has a test of its own: what it makes is looked at there.
    files += [clone / "infra" / name / "README.md" for name in ("prometheus", "grafana", "locust")]
    # Two side by side; what a page then trains is up to date. One by one takes twice as long.
    done = shell("make repro JOBS=2", clone, environment, 3600)
    assert done.returncode == 0, done.stdout + done.stderr
    ran = 0
    told: set[str] = set()  # by the pages before: what several tell is run once
    for file in files:
        commands = [line for block in shell_blocks(file) for line in block.strip().splitlines()]
        for command in commands:
            # The first is what runs this.
            if command != "make test" and command not in told:
                done = followed(command, clone, activated(environment, clone))
                assert done.returncode == 0, (str(file), command, done.stdout + done.stderr)
                if asks(command):
                    assert '"predictions":[{' in done.stdout, (command, done.stdout)
                ran += 1
        told |= set(commands)
    assert ran >= 60


def test_the_committed_lock_is_true(clone: Path) -> None:
    """Trained again here from nothing, Titanic gave the bytes that its committed lock names."""
    place = Path("pipelines") / "ml" / "titanic"
    assert (clone / place / "dvc.lock").read_text() == (ROOT / place / "dvc.lock").read_text()
    assert (clone / place / "metrics.json").read_text() == (
        ROOT / place / "metrics.json"
    ).read_text()


@pytest.mark.parametrize(
    ("file", "stages"),
    [
        ("slipway/training/parity.py", {"prepare", "fit", "evaluate", "register"}),
        ("slipway/contract/model.py", {"prepare", "fit", "evaluate", "register"}),
        ("slipway/registry/gate.py", {"register"}),
        ("slipway/datasets/fetch.py", {"prepare", "register"}),
        ("infra/environment/locks/training.txt", {"prepare", "fit", "evaluate", "register"}),
        ("pipelines/datasets/titanic.yaml", {"prepare", "register"}),
        ("pipelines/ml/titanic/train.py", {"fit", "evaluate"}),
        ("pipelines/ml/titanic/README.md", set()),
        ("infra/environment/locks/development.txt", set()),
        ("README.md", set()),
    ],
)
def test_dvc_sees_what_matters_as_changed(
    clone: Path, environment: dict[str, str], file: str, stages: set[str]
) -> None:
    path = clone / file
    original = path.read_bytes()
    path.write_bytes(original + b"\n# changed\n")
    try:
        command = "dvc status --json pipelines/ml/titanic/dvc.yaml"
        done = shell(command, clone, activated(environment, clone))
    finally:
        path.write_bytes(original)
    found = {name.rpartition(":")[2] for name in json.loads(done.stdout)}
    assert found == stages, done.stdout + done.stderr


def test_the_new_project_is_served_without_a_restart(
    clone: Path, environment: dict[str, str]
) -> None:
    """CONTRIBUTING's walk made `my_project`; the running server has found it."""
    place = f"http://127.0.0.1:{environment['SLIPWAY_PREDICT_PORT']}/v1/models/my_project"

    def told() -> str:
        return shell(f"curl -sf {place}", clone, environment).stdout

    until(told)
    assert '"accuracy"' in told()


def test_a_deleted_project_leaves_the_rest_whole(clone: Path, environment: dict[str, str]) -> None:
    shutil.rmtree(clone / "pipelines" / "ml" / "my_project")
    done = shell("dvc repro && dvc status && slipway check", clone, activated(environment, clone))
    assert "up to date" in done.stdout, done.stdout + done.stderr
    assert "my_project" not in (clone / "docs" / "leaderboard.md").read_text()


def test_a_second_make_up_trains_nothing(clone: Path, environment: dict[str, str]) -> None:
    # The first starts what the walk through the pages made possible, like the features' exporter.
    for _ in range(2):
        done = shell("make up", clone, environment)
        assert done.returncode == 0, done.stdout + done.stderr
    assert "Running stage" not in done.stdout
    assert "starting at" not in done.stdout


def test_a_lost_registry_is_filled_again(clone: Path, environment: dict[str, str]) -> None:
    assert shell("make down", clone, environment).returncode == 0
    (clone / ".slipway" / "mlflow.db").unlink()
    done = shell("make up", clone, environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "titanic: not in the registry, registered again" in done.stdout
    assert "titanic" in done.stdout.partition("served:")[2]


def test_a_taken_port_is_named_with_its_holder(clone: Path, environment: dict[str, str]) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = str(holder.getsockname()[1])
        done = shell("make up", clone, {**environment, "SLIPWAY_PREDICT_PORT": port})
    assert done.returncode != 0
    assert f"port {port} of predict is taken by" in done.stderr
    assert f"(process {os.getpid()})" in done.stderr


def test_one_unreachable_source_does_not_take_the_rest_down(
    clone: Path, environment: dict[str, str]
) -> None:
    entry = clone / "pipelines" / "datasets" / "spam_assassin_emails.yaml"
    original = entry.read_text()
    content = original.replace("@0.2.3", "@0.2.399")
    content = re.sub("sha256: .*", f"sha256: {'a' * 64}", content)
    entry.write_text(content)
    try:
        done = shell("make up", clone, environment)
    finally:
        entry.write_text(original)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "data set spam_assassin_emails: emails.tgz could not be had" in done.stdout
    assert "Not up to date: spam" in done.stdout
    assert "titanic" in done.stdout.partition("served:")[2]


def test_make_down_stops_all(clone: Path, environment: dict[str, str]) -> None:
    done = shell("make down", clone, environment)
    assert "predict: stopped" in done.stdout
    assert "mlflow: stopped" in done.stdout
    for name in home.PORTS:
        port = int(environment[f"SLIPWAY_{name.upper()}_PORT"])
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=2)
