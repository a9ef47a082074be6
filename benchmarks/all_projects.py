"""Measure one model server that holds every project: `python -m benchmarks.all_projects`.

The server has one worker and an empty home, and serves all champions of this checkout's registry
(`make repro`). Each model gets the first example of its project. Writes all_projects.json and its
table in the README.
"""

import argparse
import json
import sys
import tempfile
import time
import urllib.request
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks import server
from infra.load import machine
from slipway import home
from slipway.marks import replace_between
from slipway.project import Project, discover
from slipway.registry import signatures

FILE, MARK = Path(__file__).with_name("all_projects.json"), "all projects"
README = Path(__file__).with_name("README.md")
# The answers of a language model take longest.
CALL_SECONDS = 120
# The slowest try-out, a video's, takes 4 s.
QUIET_SECONDS = 15


@dataclass(frozen=True)
class Held:
    """Memory of the server's processes together, in MiB; PSS counts shared pages once."""

    projects: int
    ready_seconds: float
    pss_ready: float
    pss_called: float
    rss_called: float
    called_seconds: float
    """All first calls together, each of which may load its model."""
    not_served: list[str]
    """Projects of the repository without a champion in this registry."""


def main() -> None:
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--dry", action="store_true", help="write nothing")
    arguments = options.parse_args()
    home.silence_telemetry()
    machine_info = machine.describe()
    with tempfile.TemporaryDirectory() as folder:
        held = measure(Path(folder))
    text = table(held, machine_info)
    print(text)
    if not arguments.dry:
        FILE.write_text(
            json.dumps({"machine": machine_info, "held": asdict(held)}, indent=1) + "\n"
        )
        replace_between(README, MARK, text)


def measure(folder: Path) -> Held:
    """Start the server, send every model its example, and return what the server holds.

    Raises:
        NotRun: the server does not start.
        HTTPError: a model does not predict its example.
    """
    port = home.free_port()
    environment = {
        "PYTHONPATH": str(home.root()),
        "SLIPWAY_HOME": str(folder),
        "SLIPWAY_SIGNING_KEY": str(signatures.signing_key_file()),
        "SLIPWAY_PREDICT_PORT": str(port),
        "MLFLOW_TRACKING_URI": f"sqlite:///{home.root() / '.slipway' / 'mlflow.db'}",
    }
    command = [sys.executable, "-m", "services.predict"]
    with server.running(
        "all_projects", command, port=port, ready="/v1/ready", environment=environment, core=0
    ) as running:
        address = f"http://{home.LOOPBACK}:{port}/v1/models"
        ready = running.memory()
        served = await_all(address)
        began = time.perf_counter()
        projects = [each for each in discover() if each.name in served]
        for project in projects:
            read(f"{address}/{project.name}/predict", example(project))
        seconds = time.perf_counter() - began
        called = running.memory()
        return Held(
            projects=len(projects),
            ready_seconds=running.ready_seconds,
            pss_ready=ready.pss,
            pss_called=called.pss,
            rss_called=called.rss,
            called_seconds=seconds,
            not_served=[each.name for each in discover() if each.name not in served],
        )


def await_all(address: str) -> set[str]:
    """Return the served names once no more come: they are tried out one after the other."""
    served: set[str] = set()
    while True:
        found = {each["name"] for each in read(address)["models"]}
        if found == served:
            return served
        served = found
        time.sleep(QUIET_SECONDS)


def example(project: Project) -> bytes:
    """Return the first example of a project as JSON."""
    first = json.loads((project.folder / "examples.json").read_text())[0]
    return json.dumps(first["input"]).encode()


def read(address: str, body: bytes | None = None) -> Any:
    """Return the JSON of a response; POST if there is a body."""
    request = urllib.request.Request(address, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=CALL_SECONDS) as response:
        return json.loads(response.read())


def table(held: Held, machine_info: dict[str, Any]) -> str:
    """Return the figures as a table in Markdown."""
    rows = {
        "projects served by one worker": f"{held.projects}",
        "start to ready": f"{held.ready_seconds:.1f} s",
        "memory when ready (PSS)": f"{held.pss_ready:,.0f} MiB",
        "memory after a call of every model (PSS)": f"{held.pss_called:,.0f} MiB",
        "the same, as RSS": f"{held.rss_called:,.0f} MiB",
        "first calls of all models, one after the other": f"{held.called_seconds:.1f} s",
    }
    lines = ["| | |", "| --- | ---: |", *(f"| {name} | {value} |" for name, value in rows.items())]
    missing = f" Not served: {', '.join(held.not_served)}." if held.not_served else ""
    return "\n".join(
        [*lines, "", f"{machine_info['cpu']}, {machine_info['cores']} cores.{missing}"]
    )


if __name__ == "__main__":
    main()
