"""`make up` and `make down`: start all services, and train outdated projects meanwhile.

MLflow, the model server, the trainer and the monitor; Prometheus and Alertmanager where they are
installed. Without Alertmanager the monitor reports drift to the trainer itself.
"""

import json
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil

from infra.local.progress import StageProgress, progress
from infra.local.served import ServingWatch, served
from infra.local.starters import StarterTraining, quick_first
from infra.slo import configuration
from services import health
from slipway import home
from slipway.access import registry_keys
from slipway.features import places
from slipway.processes import terminate
from slipway.programs import browser_runtime, debian
from slipway.project import Project, discover
from slipway.projects import readme
from slipway.registry import tracking
from slipway.repro import dvc_environment

FREE_SPACE = 2 * 2**30  # data sets, DVC's cache and the registry of the starters take 0.5 GB
# The services start while both cores train: MLflow then took 23 s, otherwise 8 s.
START_SECONDS = 300
SUMMARY_SECONDS = 20
TITLES = {
    "mlflow": "MLflow",
    "monitor": "monitor",
    "trainer": "trainer",
    "prometheus": "Prometheus",
    "alertmanager": "Alertmanager",
}
HINTS = {"mlflow": "  any user; the password: slipway keys registry"}


class PlatformFault(Exception):
    """The platform cannot start; the message names the cause and the solution."""


@dataclass(frozen=True)
class Service:
    """A process that `up` starts, with the path that responds when it is ready."""

    name: str
    command: tuple[str, ...]
    ready: str
    environment: dict[str, str]
    reloads: bool = False
    """True if it reloads its configuration on SIGHUP."""

    @property
    def port(self) -> int:
        return home.port(self.name)

    @property
    def address(self) -> str:
        return f"http://{home.LOOPBACK}:{self.port}"

    @property
    def pid_file(self) -> Path:
        """The file that records the process."""
        return home.home() / "run" / f"{self.name}.json"

    @property
    def log(self) -> Path:
        return home.home() / "logs" / f"{self.name}.log"

    def process(self) -> psutil.Process | None:
        """Return the process that `up` started, if it still runs."""
        try:
            record = json.loads(self.pid_file.read_text())
            process = psutil.Process(record["pid"])
            ours = abs(process.create_time() - record["started"]) < 2
        except (OSError, ValueError, KeyError, psutil.NoSuchProcess):
            return None
        return process if ours and process.status() != psutil.STATUS_ZOMBIE else None


def services() -> list[Service]:
    python = sys.executable
    return [
        Service(
            "mlflow",
            (python, "-m", "services.mlflow"),
            "/health",
            # Those of the shell are for a registry elsewhere.
            {"MLFLOW_BACKEND_STORE_URI": "", "MLFLOW_ARTIFACTS_DESTINATION": ""},
        ),
        Service(
            "predict",
            (*(python, "-m", "services.predict"),),
            # Ready only with a first model, which is still being trained at the start.
            "/v1/live",
            {"MLFLOW_TRACKING_URI": registry_keys.mlflow_address()},
        ),
        *feedback_loop(),
    ]


def feedback_loop() -> list[Service]:
    """Return the services that monitor the model server and retrain models."""
    installed = {name: debian.installed(name) for name in ("alertmanager", "prometheus")}
    environment = {"MLFLOW_TRACKING_URI": registry_keys.mlflow_address()}
    if installed["alertmanager"] is None or installed["prometheus"] is None:
        trainer = f"http://{home.LOOPBACK}:{home.port('trainer')}"
        environment["SLIPWAY_MONITOR_WEBHOOK"] = f"{trainer}/v1/alerts"
    python = sys.executable
    ours = [
        # Its runs write to the registry's database themselves, as `dvc repro` does.
        Service("trainer", (python, "-m", "services.trainer"), "/v1/ready", {}),
        Service("monitor", (python, "-m", "services.monitor"), "/v1/ready", environment),
    ]
    if installed["prometheus"] and (places.redis_url() or places.online_file().is_file()):
        ours.append(Service("features", (python, "-m", "services.features"), "/metrics", {}))
    theirs = [
        Service(name, configuration.command(name, program), "/-/ready", {}, reloads=True)
        for name, program in installed.items()
        if program
    ]
    return ours + theirs


def up() -> None:
    """Start the services, train the starters, and serve each as soon as it is registered.

    Safe to repeat, also when killed. Ctrl-C stops the training; the services keep running.

    Raises:
        PlatformFault: a port is taken, the disk is full, a service does not start, or no model is
            served.
    """
    running = services()
    for service in running:
        check_port(service)
    check_disk()
    configuration.write()
    registry_keys.ensure()
    starters = quick_first(project for project in discover() if project.params.starter)
    with progress([each.name for each in starters]) as shown:
        training = StarterTraining(starters, shown)
        try:
            serve_while_training(running, starters, training, shown)
        except BaseException as error:
            training.stop()
            if isinstance(error, KeyboardInterrupt):
                shown.say("Training is stopped, the services keep running. To continue: make up")
            raise
    fetch_browser_runtime()
    summarize(running, starters, training)


def fetch_browser_runtime() -> None:
    """Fetch what lets models run in a visitor's browser; say so if it cannot be had."""
    try:
        browser_runtime.fetch()
    except browser_runtime.RuntimeUnavailable as fault:
        print(f"\nModels do not run in the browser: {fault}")


def serve_while_training(
    running: list[Service], starters: list[Project], training: StarterTraining, shown: StageProgress
) -> None:
    """Start the training and the services, and return when all starters are trained and served."""
    start_time = time.monotonic()
    by_name = {service.name: service for service in running}
    # MLflow creates the tables of a new database. A registration at the same time would create them
    # too, and both would fail; registration waits for this lock.
    with tracking.writing():
        training.start()
        start(by_name["mlflow"], shown.say)
    for service in running:
        start(service, shown.say)
    ServingWatch(
        training,
        shown,
        model_server=by_name["predict"].address,
        first_served=partial(show_first, starters, shown, start_time),
    ).follow()


def show_first(starters: list[Project], shown: StageProgress, start_time: float, name: str) -> None:
    """Print the command that gets a prediction while the other starters are being trained."""
    project = next(each for each in starters if each.name == name)
    seconds = time.monotonic() - start_time
    command = readme.curl(project, home.port("predict"))
    shown.say(
        f"\n{name} is served after {seconds:.0f} s; try it while the others train:\n{command}\n"
    )


def check_port(service: Service) -> None:
    """Check that no other process listens on the service's port.

    Raises:
        PlatformFault: another process does.
    """
    own = service.process()
    tree = {own.pid, *(child.pid for child in own.children(recursive=True))} if own else set()
    for connection in psutil.net_connections("tcp"):
        if connection.status != psutil.CONN_LISTEN or connection.laddr.port != service.port:
            continue
        if connection.pid in tree:
            continue
        holder = "another process"
        if connection.pid:
            holder = f"{psutil.Process(connection.pid).name()} (process {connection.pid})"
        raise PlatformFault(
            f"port {service.port} of {service.name} is taken by {holder}; stop it, or use "
            f"another port: "
            f"SLIPWAY_{service.name.upper()}_PORT=... make up"
        )


def check_disk() -> None:
    home.home().mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(home.home()).free
    if free < FREE_SPACE:
        raise PlatformFault(
            f"disk nearly full: {free / 2**30:.1f} GB free at {home.home()}, "
            f"{FREE_SPACE / 2**30:.0f} GB are needed"
        )


def start(service: Service, say: Callable[[str], None] = print) -> None:
    """Start the service unless it runs, and wait until it responds."""
    process = service.process()
    if process is None:
        service.pid_file.parent.mkdir(parents=True, exist_ok=True)
        service.log.parent.mkdir(parents=True, exist_ok=True)
        with service.log.open("ab") as log:
            child = subprocess.Popen(
                service.command,
                cwd=home.root(),
                env=registry_keys.with_token({**dvc_environment(), **service.environment}),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        process = psutil.Process(child.pid)
        say(f"{service.name}: starting at {service.address}")
        service.pid_file.write_text(
            json.dumps({"pid": child.pid, "started": process.create_time(), "port": service.port})
        )
    elif service.reloads:
        process.send_signal(signal.SIGHUP)
    wait(service, process)


def wait(service: Service, process: psutil.Process) -> None:
    """Wait until the service responds.

    Raises:
        PlatformFault: it ended, or does not respond in time.
    """
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if responds(service.address + service.ready):
            return
        if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
            raise PlatformFault(f"{service.name} ended while starting\n{tail(service.log)}")
        time.sleep(0.2)
    raise PlatformFault(
        f"{service.name} did not respond at {service.ready} in {START_SECONDS} "
        f"s\n{tail(service.log)}"
    )


def responds(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=5) as response:
            return bool(response.status == 200)
    except (OSError, urllib.error.URLError):
        return False


def tail(log: Path, lines: int = 15) -> str:
    return f"last lines of {log}:\n" + "\n".join(
        log.read_text(errors="replace").splitlines()[-lines:]
    )


def summarize(running: list[Service], starters: list[Project], training: StarterTraining) -> None:
    """Print what is served, the addresses, a working curl command, and what is missing.

    Raises:
        PlatformFault: no model is served.
    """
    by_name = {service.name: service for service in running}
    address = by_name["predict"].address
    names = served_names(address)
    if not training.failed and not training.changed:
        print("\nEverything is up to date.")
    print(f"\nserved: {', '.join(names)}")
    print(f"  models         {address}/")
    print(f"  metrics        {address}/metrics")
    for name, title in TITLES.items():
        if name in by_name:
            print(f"  {title:14} {by_name[name].address}{HINTS.get(name, '')}")
    print(f"  {'explanations':14} {dashboard_line()}")
    if "prometheus" not in by_name:
        print("  no Prometheus: slipway slo programs unpacks it, no root needed; then make up")
    available = [each for each in starters if each.name in names]
    first = next(
        (each for each in available if each.name == "titanic"), available[0] if available else None
    )
    if first:
        print(f"\nTry it:\n{readme.curl(first, by_name['predict'].port)}")
    if training.failed:
        failed = ", ".join(training.failed)
        print(f"\nNot up to date: {failed}; see above for the reasons. To retry: make up")
    print("\nStop: make down", flush=True)
    if not names:
        raise PlatformFault("no model is served; see above for the reasons")


def dashboard_line() -> str:
    """Return the dashboard's address, and the command that starts it unless it runs.

    `up` does not start it: it serves no predictions, and each model that one looks at is loaded.
    """
    address = f"http://{home.LOOPBACK}:{home.port('explain')}"
    if responds(address + health.PATHS["explain"]):
        return address
    return f"slipway dashboard, then {address}"


def served_names(model_server: str) -> list[str]:
    """Return the sorted names of the served models; waits a while for the first."""
    deadline = time.monotonic() + SUMMARY_SECONDS
    while True:
        names = sorted(served(model_server).versions)
        if names or time.monotonic() > deadline:
            return names
        time.sleep(0.2)


def down() -> None:
    """Stop the processes that `up` started, and no others."""
    for service in reversed(services()):
        process = service.process()
        if process is None:
            print(f"{service.name}: not running", flush=True)
        else:
            stop(process)
            print(f"{service.name}: stopped", flush=True)
        service.pid_file.unlink(missing_ok=True)


def stop(process: psutil.Process, seconds: float = 15) -> None:
    """End a process and its children with SIGTERM, then SIGKILL."""
    terminate([process, *process.children(recursive=True)], seconds)
