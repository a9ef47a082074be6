"""`slipway up` over small projects, with the real services; and the display of the training."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import StringIO
from pathlib import Path

import httpx
import psutil
import pytest
from rich.console import Console

from infra.local.platform import dashboard_line, responds
from infra.local.progress import Lines, LiveTable, progress
from infra.local.served import given_up
from infra.local.starters import quick_first
from slipway import home
from slipway.project import Project
from slipway.projects import measured
from slipway.stage_events import Training
from tests.conftest import copy_checkout
from tests.services.server_fixture import TrainingRepository
from tests.waiting import PATIENCE, until

# A run of `up` starts a dozen processes with seconds of imports: 120 s at a load of 20.
TRAINING_PATIENCE = 10 * PATIENCE

# Appended to a train.py.
HELD = """

import functools
import os

_fit = fit


@functools.wraps(_fit)
def fit(**parameters):
    while not Path(os.environ["HELD_UNTIL"]).exists():
        time.sleep(0.05)
    return _fit(**parameters)
"""
FAILING = """

import functools

_fit = fit


@functools.wraps(_fit)
def fit(**parameters):
    raise ValueError("no flowers today")
"""


class Up:
    """A run of `slipway up` whose lines are read as they arrive."""

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "slipway", "up"],
            cwd=folder,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    @property
    def output(self) -> str:
        return "\n".join(self.lines)

    def until(self, line: str) -> None:
        """Wait for the line; fail when the run ends without it."""

        def holds() -> bool:
            assert line in self.lines or self.process.poll() is None, self.output
            return line in self.lines

        until(holds, lambda: self.output, seconds=TRAINING_PATIENCE)

    def status(self) -> int:
        """Wait until it has ended, and return its exit status."""
        until(
            lambda: self.process.poll() is not None,
            lambda: self.output,
            seconds=TRAINING_PATIENCE,
        )
        self._reader.join(PATIENCE)
        return int(self.process.returncode)

    def interrupt(self) -> None:
        """Interrupt it like Ctrl-C, unless it has ended."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.status()


class SmallPlatform:
    """A repository with three starters, its services on free ports."""

    def __init__(self, folder: Path) -> None:
        self.training_repository = TrainingRepository(folder)
        self.folder = self.training_repository.folder
        self.home = self.training_repository.home("home")
        self.held_until = folder / "go-on"
        self.runs: list[Up] = []
        self.env = {
            **os.environ,
            **self.training_repository.variables(self.home, home.free_port()),
            **{f"SLIPWAY_{name.upper()}_PORT": str(home.free_port()) for name in home.PORTS},
            "SLIPWAY_PREDICT_RELOAD_SECONDS": "0.3",
            "HELD_UNTIL": str(self.held_until),
        }
        copy_checkout(self.folder, "params.yaml", "infra")
        self.training_repository.add("broken")
        self._append("broken", "train.py", FAILING)
        self._append("petals", "train.py", HELD)
        for every, name in enumerate(("flowers", "broken", "petals"), start=5):
            # With equal inputs DVC would reuse the outputs of another project.
            params = self.file(name, "params.yaml")
            params.write_text(params.read_text().replace("every: 5", f"every: {every}"))
            self._append(name, "params.yaml", "starter: true\n")
        # The slowest project is the first by name.
        figures = {"p50_ms": 1.0, "p99_ms": 1.0, "drift": "steady"}
        seconds = {"broken": 2.0, "petals": 3.0, "flowers": 1.0}
        known = {name: {"fit_seconds": each, **figures} for name, each in seconds.items()}
        (self.folder / "docs").mkdir()
        (self.folder / "docs" / "measured.json").write_text(json.dumps(known))

    def file(self, project: str, name: str) -> Path:
        return self.folder / "pipelines" / "ml" / project / name

    def _append(self, project: str, name: str, text: str) -> None:
        with self.file(project, name).open("a") as file:
            file.write(text)

    def repair(self) -> None:
        file = self.file("broken", "train.py")
        file.write_text(file.read_text().replace(FAILING, ""))

    def up(self) -> Up:
        self.runs.append(Up(self.folder, self.env))
        return self.runs[-1]

    def log(self, project: str) -> str:
        return (self.home / "logs" / f"train-{project}.log").read_text()

    def forget(self, project: str) -> None:
        """Delete the project's model from the registry."""
        mlflow = f"http://{home.LOOPBACK}:{self.env['SLIPWAY_MLFLOW_PORT']}"
        path = "api/2.0/mlflow/registered-models/delete"
        key = {"X-API-Key": (self.home / "registry-key").read_text()}
        asked = {"json": {"name": project}}
        assert httpx.request("DELETE", f"{mlflow}/{path}", **asked).status_code == 401
        httpx.request("DELETE", f"{mlflow}/{path}", headers=key, **asked).raise_for_status()

    def down(self) -> None:
        """Stop the runs that a failed test left, and the services."""
        for each in self.runs:
            each.interrupt()
        command = [sys.executable, "-m", "slipway", "down"]
        subprocess.run(command, cwd=self.folder, env=self.env, check=True, capture_output=True)


@pytest.fixture(scope="module")
def small_platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallPlatform]:
    platform = SmallPlatform(tmp_path_factory.mktemp("up"))
    yield platform
    platform.down()


def test_a_quick_starter_is_served_while_the_slow_one_trains(
    small_platform: SmallPlatform,
) -> None:
    up = small_platform.up()
    up.until("flowers: served: version 1")
    up.until("petals: fit started")
    until(lambda: any(line.startswith("curl") for line in up.lines), lambda: up.output)
    curl = next(line for line in up.lines if line.startswith("curl"))
    done = subprocess.run(["bash", "-c", curl], capture_output=True, text=True, check=True)
    assert '"predictions":[{' in done.stdout
    assert up.process.poll() is None
    assert "petals: served: version 1" not in up.lines

    small_platform.held_until.touch()
    assert up.status() == 0, up.output
    lines = up.lines
    order = ("flowers: fit started", "broken: fit started", "petals: fit started")
    assert sorted(order, key=lines.index) == list(order)
    assert any(line.startswith("flowers: fit ") and line.endswith(" s") for line in lines)
    # A failed project does not stop the others, and its reason is shown.
    assert "broken: failed: no flowers today" in lines
    assert "broken:   ValueError: no flowers today" in lines
    assert "petals: served: version 1" in lines
    assert "served: flowers, petals" in lines
    assert "Not up to date: broken; see above for the reasons. To retry: make up" in lines
    dashboard = f"http://127.0.0.1:{small_platform.env['SLIPWAY_EXPLAIN_PORT']}"
    assert f"  explanations   slipway dashboard, then {dashboard}" in lines
    assert lines[-1] == "Stop: make down"
    assert lines[lines.index("Try it:") + 1].startswith("curl -s http://127.0.0.1:")
    # DVC's output is in the log, not on the terminal.
    assert not any("Running stage" in line for line in lines if line.startswith("flowers"))
    log = small_platform.log("flowers")
    assert "Running stage 'pipelines/ml/flowers/dvc.yaml:fit':" in log
    assert "> python -m slipway fit" in log


def test_again_it_trains_what_failed_and_then_nothing(small_platform: SmallPlatform) -> None:
    small_platform.repair()
    again = small_platform.up()
    assert again.status() == 0, again.output
    assert "flowers: up to date" in again.lines
    assert "broken: served: version 1" in again.lines
    assert "served: broken, flowers, petals" in again.lines
    assert "starting at" not in again.output
    assert "Everything is up to date." not in again.lines

    last = small_platform.up()
    assert last.status() == 0, last.output
    assert "Everything is up to date." in last.lines
    assert "started" not in last.output
    assert sum(line.startswith("curl") for line in last.lines) == 1


def test_an_interrupt_stops_the_training_and_leaves_the_services(
    small_platform: SmallPlatform,
) -> None:
    small_platform.held_until.unlink()
    params = small_platform.file("petals", "params.yaml")
    params.write_text(params.read_text().replace("power: 1", "power: 2"))
    up = small_platform.up()
    up.until("petals: fit started")
    trained = psutil.Process(up.process.pid).children(recursive=True)
    assert trained
    up.interrupt()
    assert up.status() == 130, up.output
    assert "Training is stopped, the services keep running. To continue: make up" in up.lines
    assert not any(each.is_running() for each in trained)
    port = small_platform.env["SLIPWAY_PREDICT_PORT"]
    assert responds(f"http://{home.LOOPBACK}:{port}/v1/ready")


def test_after_it_the_training_goes_on_and_a_lost_model_is_registered_again(
    small_platform: SmallPlatform,
) -> None:
    small_platform.held_until.touch()
    small_platform.forget("flowers")
    again = small_platform.up()
    assert again.status() == 0, again.output
    assert "petals: fit started" in again.lines
    assert "flowers: not in the registry, or not signed: registered again" in again.lines
    assert "flowers: served: version 1" in again.lines
    assert "served: broken, flowers, petals" in again.lines


class Healthy(BaseHTTPRequestHandler):
    """The health check of Streamlit."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/_stcore/health" else 404)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


def test_a_dashboard_that_runs_is_named_by_its_address(monkeypatch: pytest.MonkeyPatch) -> None:
    with ThreadingHTTPServer((home.LOOPBACK, 0), Healthy) as server:
        port = server.server_address[1]
        monkeypatch.setenv("SLIPWAY_EXPLAIN_PORT", str(port))
        threading.Thread(target=server.serve_forever).start()
        try:
            assert dashboard_line() == f"http://127.0.0.1:{port}"
        finally:
            server.shutdown()
    assert dashboard_line() == f"slipway dashboard, then http://127.0.0.1:{port}"


def test_quick_starters_come_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def figures(seconds: float) -> measured.Measured:
        return measured.Measured(fit_seconds=seconds, p50_ms=1, p99_ms=1, drift="steady")

    def project(name: str, environment: str = "training") -> Project:
        folder = tmp_path / "pipelines" / "ml" / name
        folder.mkdir(parents=True)
        (folder / "params.yaml").write_text(
            f"dataset: iris\nenvironment: {environment}\nprimary: a\ngate: {{a: '>= 0'}}\n"
        )
        return Project(folder)

    known = {"slow": figures(30.0), "quick": figures(2.0), "network": figures(1.0)}
    monkeypatch.setattr(measured, "read", lambda: known)
    projects = [project("network", "torch"), *map(project, ("slow", "new", "quick"))]
    assert [each.name for each in quick_first(projects)] == ["quick", "slow", "new", "network"]


@pytest.mark.parametrize(
    ("seconds", "wanted", "fault", "reason"),
    [
        (119.0, "1", None, ""),
        (121.0, "1", None, "the model server did not load it in 120 s"),
        (19.0, "1", "no weights", ""),
        (21.0, "1", "no weights", "no weights"),
        (21.0, None, None, "the registry names no champion"),
    ],
)
def test_how_long_a_model_is_waited_for(
    seconds: float, wanted: str | None, fault: str | None, reason: str
) -> None:
    assert given_up(seconds, wanted, fault) == reason


FAILED = Training("spam", ("prepare",), 3.0, "no data", ("ERROR: a line of the log",))


def test_without_a_terminal_each_change_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    with progress(["titanic", "spam", "iris"]) as shown:
        assert isinstance(shown, Lines)
        shown.started("titanic")
        shown.stage_started("titanic", "fit")
        shown.line("titanic", "a line of DVC")
        shown.stage_ended("titanic", "fit", 3.14)
        shown.ended(Training("titanic", ("fit",), 5.0))
        shown.served("titanic", "1")
        shown.ended(FAILED)
        shown.ended(Training("iris", (), 2.0))
        shown.not_served("iris", "it has no weights")
        shown.line("leaderboard", "it cannot be written")
    assert capsys.readouterr().out.splitlines() == [
        "titanic: fit started",
        "titanic: fit 3.1 s",
        "titanic: served: version 1",
        "spam:   ERROR: a line of the log",
        "spam: failed: no data",
        "iris: up to date",
        "iris: registered, not served: it has no weights",
        "leaderboard: it cannot be written",
    ]


def drawn(table: LiveTable) -> list[list[str]]:
    """Return the words of each row on a terminal of 100 columns."""
    console = Console(width=100, file=StringIO(), color_system=None)
    console.print(table.table())
    return [line.split() for line in console.file.getvalue().splitlines()]  # type: ignore[attr-defined]


def test_in_a_terminal_the_stages_are_a_table() -> None:
    screen = StringIO()
    table = LiveTable(["titanic", "spam"], Console(file=screen, force_terminal=True, width=100))
    with table as shown:
        assert drawn(table)[1:] == [["titanic", "waiting"], ["spam", "waiting"]]
        shown.started("titanic")
        shown.stage_started("titanic", "fit")
        shown.line("titanic", "a line of DVC")
        assert drawn(table)[1][:2] == ["titanic", "fit"]
        shown.ended(Training("titanic", ("fit",), 5.0))
        assert drawn(table)[1][1] == "loading"
        shown.served("titanic", "1")
        shown.started("spam")
        shown.stage_started("spam", "prepare")
        shown.ended(FAILED)
        command = "curl " + "x" * 300
        shown.say(command)
        heading, titanic, spam = drawn(table)
    assert heading == ["project", "stage", "elapsed", "result"]
    assert titanic[1] == "done"
    assert titanic[3:] == ["served:", "version", "1"]
    assert spam[1] == "prepare"
    assert spam[3:] == ["failed:", "no", "data"]
    printed = screen.getvalue()
    assert "spam:   ERROR: a line of the log" in printed
    assert command in printed
    assert "a line of DVC" not in printed


def test_the_table_needs_a_terminal_that_can_draw_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert isinstance(progress(["titanic"]), Lines)  # although rich takes it for a terminal then
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm-256color")
    assert isinstance(progress(["titanic"]), LiveTable)
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(progress(["titanic"]), Lines)
