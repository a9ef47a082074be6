"""Runs a real tritonserver on this machine, for development and tests.

The server comes from the PyPI package nvidia-pytriton, in an environment of its own. It runs on CPU
and has only the Python backend.
"""

import os
import re
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import psutil

from slipway import home
from slipway.programs import environments

PORTS = {"http": 8100, "grpc": 8101, "metrics": 8102}
START_SECONDS = 120.0
# Time for requests in flight; Triton's own shutdown takes one second more.
STOP_SECONDS = 10.0
INFO = re.compile(r"\S+Z [IW] ")


class TritonFault(Exception):
    """Raised when Triton cannot be installed or started; the message says why and what to do."""


@dataclass(frozen=True)
class RunningTriton:
    """A running Triton; `http`, `grpc` and `metrics` are host:port."""

    http: str
    grpc: str
    metrics: str
    process: subprocess.Popen[bytes]


def port(protocol: str) -> int:
    """Return the port of `http`, `grpc` or `metrics`: $SLIPWAY_TRITON_HTTP_PORT and so on.

    Raises:
        ValueError: the variable is not a port number.
    """
    variable = f"SLIPWAY_TRITON_{protocol.upper()}_PORT"
    value = os.environ.get(variable, str(PORTS[protocol]))
    if not value.isdecimal() or not 0 < int(value) < 65536:
        raise ValueError(f"{variable} must be a port number from 1 to 65535, got {value!r}")
    return int(value)


def environment() -> Path:
    """Return the virtual environment with tritonserver, installing it from its lock if needed.

    Raises:
        TritonFault: it cannot be installed.
    """
    try:
        environments.python_of("triton")
    except environments.EnvironmentMissing as error:
        raise TritonFault(f"Triton cannot be installed: {error}") from error
    venv = environments.folder("triton")
    _place_stub(_site(venv) / "pytriton" / "tritonserver")
    return venv


def _site(venv: Path) -> Path:
    return venv / "lib" / "python3.11" / "site-packages"


def _place_stub(server: Path) -> None:
    """Copy the stub that runs model.py in Triton's Python backend; it depends on the Python."""
    name = "triton_python_backend_stub"
    source, target = server / "python_backend_stubs" / "3.11" / name, server / "backends/python"
    if not (target / name).is_file():
        # Two processes may do this concurrently.
        new = target / f".{name}.{os.getpid()}"
        shutil.copy(source, new)
        new.rename(target / name)


def _variables(venv: Path) -> dict[str, str]:
    """Return the environment variables by which the stub finds its libraries and packages."""
    command = [
        str(venv / "bin" / "python"),
        "-c",
        "import sysconfig as s; print(s.get_config_var('LIBDIR'))",
    ]
    libraries = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    site = _site(venv)
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("PYTHON")},
        **home.TELEMETRY_OFF,
        "LD_LIBRARY_PATH": f"{site / 'nvidia_pytriton.libs'}:{libraries}",
        "PATH": f"{venv / 'bin'}:{os.environ.get('PATH', os.defpath)}",
        "PYTHONPATH": str(site),
        # A polling server would reload a model whenever Python writes into its folder.
        "PYTHONDONTWRITEBYTECODE": "1",
    }


@contextmanager
def running(
    repository: Path,
    *,
    http: int | None = None,
    grpc: int | None = None,
    metrics: int | None = None,
    log: Path | None = None,
    poll_seconds: int | None = None,
) -> Iterator[RunningTriton]:
    """Run Triton on `repository` until the block ends; every model is ready when it begins.

    Missing ports come from the environment variables. Without `log`, Triton writes to this
    process's output. With `poll_seconds`, it reloads changes in the repository.

    Raises:
        TritonFault: Triton cannot be installed, a port is taken, or it does not become ready.
    """
    ports = {
        "http": port("http") if http is None else http,
        "grpc": port("grpc") if grpc is None else grpc,
        "metrics": port("metrics") if metrics is None else metrics,
    }
    _check_ports(ports)
    venv = environment()
    command = _command(venv, repository, ports, poll_seconds)
    with _output(log) as out:
        process = subprocess.Popen(
            command,
            env=_variables(venv),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            # This process forwards an interrupt from the terminal.
            start_new_session=True,
        )
    address = {protocol: f"{home.LOOPBACK}:{number}" for protocol, number in ports.items()}
    try:
        _wait(process, f"http://{address['http']}/v2/health/ready", log)
        yield RunningTriton(**address, process=process)
    finally:
        _stop(process)


def _command(
    venv: Path, repository: Path, ports: dict[str, int], poll_seconds: int | None
) -> list[str]:
    server = _site(venv) / "pytriton" / "tritonserver"
    polling = (
        ["--model-control-mode=poll", f"--repository-poll-secs={poll_seconds}"]
        if poll_seconds
        else ["--model-control-mode=none"]
    )
    return [
        str(server / "bin" / "tritonserver"),
        f"--model-repository={repository.absolute()}",
        f"--backend-directory={server / 'backends'}",
        # The configs are complete.
        "--disable-auto-complete-config",
        *polling,
        *(f"--{protocol}-address={home.LOOPBACK}" for protocol in ports),
        *(f"--{protocol}-port={number}" for protocol, number in ports.items()),
        "--allow-gpu-metrics=false",
        f"--exit-timeout-secs={STOP_SECONDS:.0f}",
        "--log-format=ISO8601",
    ]


@contextmanager
def _output(log: Path | None) -> Iterator[IO[bytes] | None]:
    if log is None:
        yield None
        return
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as out:
        yield out


def _check_ports(ports: dict[str, int]) -> None:
    """Check that the ports are free; the listener may even be another Triton.

    Raises:
        TritonFault: another process listens on a port.
    """
    for connection in psutil.net_connections("tcp"):
        if connection.status != psutil.CONN_LISTEN:
            continue
        for protocol, number in ports.items():
            if connection.laddr.port == number:
                holder = "another process"
                if connection.pid:
                    with suppress(psutil.NoSuchProcess):
                        name = psutil.Process(connection.pid).name()
                        holder = f"{name} (process {connection.pid})"
                raise TritonFault(
                    f"port {number} of Triton is taken by {holder}; stop it, or set another port: "
                    f"SLIPWAY_TRITON_{protocol.upper()}_PORT"
                )


def _wait(process: subprocess.Popen[bytes], address: str, log: Path | None) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise TritonFault(f"Triton ended with {process.returncode}{_errors_in(log)}")
        if _ready(address):
            return
        time.sleep(0.1)
    raise TritonFault(f"Triton was not ready in {START_SECONDS:.0f} s{_errors_in(log)}")


def _ready(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=5) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def _errors_in(log: Path | None) -> str:
    """Return the last errors in the log, without its tables and messages of success."""
    if log is None:
        return "; see its output above"
    lines = log.read_text(errors="replace").splitlines()
    errors = [line for line in lines if line and line[0] not in "|+" and not INFO.match(line)]
    return "\n" + "\n".join(errors[-25:])


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Terminate Triton; after a timeout, kill it and the Python processes it started."""
    children: list[psutil.Process] = []
    with suppress(psutil.NoSuchProcess):
        children = psutil.Process(process.pid).children(recursive=True)
    process.terminate()
    try:
        process.wait(STOP_SECONDS + 5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    _, left = psutil.wait_procs(children, timeout=2)
    for each in left:
        with suppress(psutil.NoSuchProcess):
            each.kill()
