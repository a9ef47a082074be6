"""Use a fresh clone like a newcomer: run the READMEs' commands, and see what fails.

The clone holds the starters, the projects that the repository's pages name in a command, and those
that the change concerns (tests/selection.py); the folders of the other projects are deleted from it
before anything runs. Projects are found by walking the folders, so such a clone is a legitimate
repository, and commands for everything, like bare `dvc repro` or `make repro`, run in it for real.
`make test-all` deletes nothing and walks every project.

The tests build on the ones before them, in this order; one alone finds nothing trained.
"""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from slipway import arithmetic, home
from slipway.home import free_port
from slipway.project import Project, discover
from tests.conftest import ROOT, copy_checkout
from tests.javascript import node
from tests.selection import PROPERTY, Selection, commands, pages, select
from tests.selection import shell_blocks as shell_blocks  # for tests/infra/test_kubernetes_run.py
from tests.waiting import PATIENCE, until

# tests/rerun.py repeats the whole file when one of its tests fails. The guard against a hang is far
# beyond what `make test-all` needs on a busy machine, where one test trains every project.
pytestmark = [pytest.mark.in_order, pytest.mark.timeout(9000)]

JAVASCRIPT_BLOCK = re.compile(r"^```js\n(.*?)^```", re.MULTILINE | re.DOTALL)
PYTHON_BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)

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
    """Make it train in seconds: few rows, its parameters under `tiny`, a gate that passes."""
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
def selection() -> Selection:
    """Return the projects of this walk, with the reasons."""
    return select(ROOT)


@pytest.fixture(scope="module")
def clone(selection: Selection, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy the checkout's files, committed or not, without the projects outside the walk."""
    folder = tmp_path_factory.mktemp("newcomer") / "slipway"
    copy_checkout(folder)
    subprocess.run(["git", "init", "-q", "-b", "main"], cwd=folder, check=True)
    for project in discover(folder):
        if project.name not in selection.walked:
            shutil.rmtree(project.folder)
    for project in discover(folder):
        # Titanic keeps all rows, a quarter of a minute: its committed lock must match.
        if project.name != "titanic":
            shrink(project)
    subprocess.run(["git", "add", "--all"], cwd=folder, check=True)
    author = ("-c", "user.name=newcomer", "-c", "user.email=newcomer@example.com")
    command = ["git", *author, "commit", "--quiet", "--message", "The clone"]
    subprocess.run(command, cwd=folder, check=True)
    return folder


@pytest.fixture(scope="module")
def environment(clone: Path) -> Iterator[dict[str, str]]:
    """Use separate ports and a clean environment, and stop everything afterwards."""
    kept = {
        name: value
        # The commands set their own pins.
        for name, value in arithmetic.without_pins(os.environ).items()
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
    # Only checks that the load runs: benchmarks measure the speed.
    kept |= {"SLIPWAY_LOAD_SECONDS": "3", "SLIPWAY_LOAD_P99_MS": "60000"}
    kept |= {f"SLIPWAY_{name.upper()}_PORT": str(free_port()) for name in home.PORTS}
    # Beside this checkout, not beside the clone.
    kept.setdefault("SLIPWAY_MIRROR", str(home.mirror()))
    yield kept
    subprocess.run(["make", "down"], cwd=clone, env=kept, capture_output=True)


def shell(
    command: str, clone: Path, env: dict[str, str], seconds: float = 3600
) -> subprocess.CompletedProcess[str]:
    """Run a README's command unchanged except for the port."""
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


def requests_prediction(command: str) -> bool:
    """Return whether the command requests a prediction."""
    return command.startswith("curl") and "/predict " in command


def has_prediction(command: str, done: subprocess.CompletedProcess[str]) -> bool:
    """Return whether the response to a request for a prediction holds one.

    Media, events and results to fetch later are no ordinary JSON; curl's -f fails without them.
    """
    if re.search(r"-H '(Accept|Prefer):", command):
        assert re.match(r"curl -\w*f", command), command
        return done.returncode == 0
    return '"predictions":[{' in done.stdout


def followed(command: str, clone: Path, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run it; retry a prediction until the model server has loaded what was just trained."""
    deadline = time.monotonic() + PATIENCE
    while True:
        done = shell(command, clone, env)
        waits = requests_prediction(command) and not has_prediction(command, done)
        if not waits or time.monotonic() > deadline:
            return done
        time.sleep(1)


def activated(env: dict[str, str], clone: Path) -> dict[str, str]:
    return {**env, "PATH": f"{clone / '.venv' / 'bin'}{os.pathsep}{env['PATH']}"}


def served(env: dict[str, str]) -> list[str]:
    """Return the names of the served models."""
    with urllib.request.urlopen(f"{predict(env)}/v1/models", timeout=30) as response:
        return sorted(each["name"] for each in json.load(response)["models"])


def predict(env: dict[str, str]) -> str:
    return f"http://127.0.0.1:{env['SLIPWAY_PREDICT_PORT']}"


def changed_files(clone: Path, shrunk: list[str]) -> list[str]:
    """Return what git sees as changed outside of the shrunk projects; Titanic is none of them.

    The leaderboard is left out: it lists all projects, of which the walk has fewer.
    """
    listed = subprocess.run(
        ["git", "status", "--porcelain"], cwd=clone, check=True, capture_output=True, text=True
    )
    expected = ["docs/leaderboard.md", *(f"/{name}/" for name in shrunk if name != "titanic")]
    return [line for line in listed.stdout.splitlines() if not any(f in line for f in expected)]


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
    printed = []
    for line in process.stdout:
        printed.append(line)
        if line.strip() == "titanic: fit started":
            break
    else:
        raise AssertionError("make up ended before Titanic was fitted:\n" + "".join(printed))
    time.sleep(1)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    done = shell("make up", clone, environment)
    assert done.returncode == 0, done.stdout + done.stderr
    starters = sorted(each.name for each in discover(clone) if each.params.starter)
    assert served(environment) == starters, done.stdout + done.stderr
    for name in starters:
        assert f"{name}: served: version 1" in done.stdout, done.stdout
    # The leaderboard's stage depends on every project. The starters alone leave its lock as it is.
    assert (clone / "dvc.lock").read_text() == (ROOT / "dvc.lock").read_text()
    # The trained files equal the committed ones, except those of projects with fewer rows.
    assert changed_files(clone, starters) == []
    curl = next(line for line in done.stdout.splitlines() if line.startswith("curl"))
    answer = shell(curl, clone, environment)
    assert '"predictions":[{' in answer.stdout, answer.stdout + answer.stderr
    verified = shell("slipway verify", clone, activated(environment, clone))
    assert verified.returncode == 0, verified.stdout + verified.stderr
    others = [each.name for each in discover(clone) if each.name not in starters]
    assert f"not trained here: {', '.join(others)}" in verified.stdout
    assert f"the metrics of {len(starters)} projects equal" in verified.stdout.splitlines()[-1]


def test_every_command_of_the_readmes_works(
    selection: Selection,
    clone: Path,
    environment: dict[str, str],
    record_property: Callable[[str, object], None],
) -> None:
    """Execute the ```sh blocks of the repository's pages and of the walked projects' READMEs.

    README.md says that bare `dvc repro` and `make repro JOBS=2` bring every project up to date. The
    second runs here before the pages, the first in `test_a_deleted_project_leaves_the_rest_whole`.
    """
    record_property(PROPERTY, selection.lines())
    files = pages(clone) + [project.folder / "README.md" for project in discover(clone)]
    # Two at a time; what a page then trains is up to date. One by one takes twice as long.
    done = shell("make repro JOBS=2", clone, environment, 7200)
    assert done.returncode == 0, done.stdout + done.stderr
    # A command that several pages name is run once.
    ran: set[str] = {"make test"}  # the first is what runs this
    for file in files:
        for command in commands(file.read_text()):
            # A page may repeat a command on purpose, so its own are added when it is done.
            if command not in ran:
                done = followed(command, clone, activated(environment, clone))
                assert done.returncode == 0, (str(file), command, done.stdout + done.stderr)
                if requests_prediction(command):
                    assert has_prediction(command, done), (command, done.stdout)
        ran.update(commands(file.read_text()))
    assert len(ran) >= 50


def test_every_python_example_runs(clone: Path, environment: dict[str, str]) -> None:
    """Run the ```python blocks of the pages about clients against the server of `make up`."""
    examples = PYTHON_BLOCK.findall((clone / "docs" / "clients.md").read_text())
    examples += PYTHON_BLOCK.findall((clone / "clients" / "python" / "README.md").read_text())
    assert len(examples) == 7
    # slipway-client is no part of Slipway's own environment.
    variables = {
        **activated(environment, clone),
        "PYTHONPATH": str(clone / "clients" / "python"),
        "SLIPWAY_ADDRESS": predict(environment),
    }
    for example in examples:
        command = f"python - <<'END'\n{example}END"
        done = shell(command, clone, variables)
        assert done.returncode == 0, example + done.stderr
        assert done.stdout.strip()


def test_the_javascript_example_runs(clone: Path, environment: dict[str, str]) -> None:
    """Run the ```js block of the page about clients against the server of `make up`."""
    (example,) = JAVASCRIPT_BLOCK.findall((clone / "docs" / "clients.md").read_text())
    command = f"'{node()}' --input-type=module - <<'END'\n{example}END"
    done = shell(command, clone, environment)
    assert done.returncode == 0, example + done.stderr
    assert re.fullmatch(r"(true|false) 0\.\d+\n", done.stdout), done.stdout


def test_the_committed_lock_is_true(clone: Path) -> None:
    """Titanic, trained here from scratch, equals its committed lock byte for byte."""
    place = Path("pipelines") / "ml" / "titanic"
    assert (clone / place / "dvc.lock").read_text() == (ROOT / place / "dvc.lock").read_text()
    assert (clone / place / "metrics.json").read_text() == (
        ROOT / place / "metrics.json"
    ).read_text()


def test_the_new_project_is_served_without_a_restart(
    clone: Path, environment: dict[str, str]
) -> None:
    """CONTRIBUTING's commands created `my_project`, and the running server serves it."""
    place = f"{predict(environment)}/v1/models/my_project"

    def description() -> str:
        return shell(f"curl -sf {place}", clone, environment).stdout

    until(description)
    assert '"accuracy"' in description()


def test_a_deleted_project_leaves_the_rest_whole(clone: Path, environment: dict[str, str]) -> None:
    """Run bare `dvc repro`, as README.md does, in the repository that the deletion leaves.

    The projects that this walk leaves out were deleted from the clone before, so it brings every
    project of a small repository up to date. Nothing of it is left to simulation.
    """
    shutil.rmtree(clone / "pipelines" / "ml" / "my_project")
    done = shell("dvc repro && dvc status && slipway check", clone, activated(environment, clone))
    assert "up to date" in done.stdout, done.stdout + done.stderr
    assert "my_project" not in (clone / "docs" / "leaderboard.md").read_text()


def test_a_second_make_up_trains_nothing(clone: Path, environment: dict[str, str]) -> None:
    # The first starts what the walk through the pages made possible, like the features' exporter.
    for _ in range(2):
        done = shell("make up", clone, environment)
        assert done.returncode == 0, done.stdout + done.stderr
    assert "fit started" not in done.stdout
    assert "starting at" not in done.stdout


def test_a_lost_registry_is_filled_again(clone: Path, environment: dict[str, str]) -> None:
    assert shell("make down", clone, environment).returncode == 0
    (clone / ".slipway" / "mlflow.db").unlink()
    done = shell("make up", clone, environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "titanic: not in the registry, or not signed: registered again" in done.stdout
    assert "titanic" in served(environment), done.stdout


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
    assert "data set spam_assassin_emails: no source provides emails.tgz" in done.stdout
    assert "Not up to date: spam" in done.stdout
    assert "titanic" in served(environment), done.stdout


def test_make_down_stops_all(clone: Path, environment: dict[str, str]) -> None:
    done = shell("make down", clone, environment)
    assert "predict: stopped" in done.stdout
    assert "mlflow: stopped" in done.stdout
    for name in home.PORTS:
        port = int(environment[f"SLIPWAY_{name.upper()}_PORT"])
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=2)
