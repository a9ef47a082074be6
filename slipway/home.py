"""Where Slipway keeps what it makes, and the ports it listens on; each moved by a variable."""

import ipaddress
import os
from pathlib import Path

LOOPBACK = "127.0.0.1"
PORTS = {
    "predict": 8000,
    "monitor": 8010,
    "trainer": 8020,
    "features": 8030,
    "stream": 8040,
    "explain": 8050,
    "mlflow": 5000,
    "prometheus": 9090,
    "alertmanager": 9093,
}

# Set before any dependency is imported: none of them may call home.
TELEMETRY_OFF = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "BENTOML_DO_NOT_TRACK": "True",
    "DVC_NO_ANALYTICS": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_OFFLINE": "1",
    "STREAMLIT_BROWSER_GATHER_USAGE_STATS": "false",
    "YDATA_PROFILING_NO_ANALYTICS": "True",
    "GIT_PYTHON_REFRESH": "quiet",
}
# MLflow draws a bar for every file it copies, and tells of each table it makes.
QUIET = {"MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false", "MLFLOW_LOGGING_LEVEL": "WARNING"}


def silence_telemetry() -> None:
    os.environ.update(TELEMETRY_OFF)
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)


def rest_threads() -> None:
    """OpenMP's threads sleep while they wait for each other; call it before torch and its like.

    By default they spin. Two trainings of a small network side by side on two cores took 25 s so,
    and take 7 s asleep, one alone 7 s and 4 s, with equal results.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")


def on_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens there."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def root() -> Path:
    """The repository: the nearest folder upward that holds `pipelines`, from here or this file.

    Raises:
        FileNotFoundError: neither lies in a Slipway repository.
    """
    for start in (Path.cwd(), Path(__file__).resolve()):
        for folder in (start, *start.parents):
            if (folder / "pipelines").is_dir() and (folder / "pyproject.toml").is_file():
                return folder
    raise FileNotFoundError(f"{Path.cwd()} is not inside a Slipway repository")


def home() -> Path:
    """The registry's database, artifacts, logs and promotion log: $SLIPWAY_HOME."""
    return Path(os.environ.get("SLIPWAY_HOME") or root() / ".slipway").absolute()


def cache() -> Path:
    """Downloaded data sets, shared by all checkouts: $SLIPWAY_CACHE."""
    return Path(os.environ.get("SLIPWAY_CACHE") or Path.home() / ".cache" / "slipway").absolute()


def mirror() -> Path:
    """A folder of data set files by name, for machines without internet: $SLIPWAY_MIRROR."""
    return Path(os.environ.get("SLIPWAY_MIRROR") or root().parent / "shared" / "data" / "mirror")


def port(service: str) -> int:
    """The loopback port of `predict`, `mlflow` or another service.

    Raises:
        ValueError: the variable that moves it holds no port number.
    """
    variable = f"SLIPWAY_{service.upper()}_PORT"
    value = os.environ.get(variable, str(PORTS[service]))
    if not value.isdecimal() or not 0 < int(value) < 65536:
        raise ValueError(f"{variable} must be a port number from 1 to 65535, got {value!r}")
    return int(value)


def free_port() -> int:
    """One of loopback that nobody listens at now."""
    import socket

    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])
