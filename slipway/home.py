"""The ports that Slipway listens on, its folders, and what it switches off in dependencies."""

import ipaddress
import os

from slipway.paths import cache, home, mirror, root
from slipway.quiet import QUIET, TELEMETRY_OFF, rest_threads, silence_telemetry

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


def on_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens there."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


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


__all__ = [
    "LOOPBACK",
    "PORTS",
    "QUIET",
    "TELEMETRY_OFF",
    "cache",
    "free_port",
    "home",
    "mirror",
    "on_loopback",
    "port",
    "rest_threads",
    "root",
    "silence_telemetry",
]
