"""Ports and folders of Slipway, and settings that silence its dependencies."""

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
    """Return whether `host` is a loopback address, which only this machine reaches."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def port(service: str) -> int:
    """Return the port of `predict`, `mlflow` or another service, by default that in PORTS.

    Raises:
        ValueError: the variable SLIPWAY_<SERVICE>_PORT is not a port number.
    """
    variable = f"SLIPWAY_{service.upper()}_PORT"
    value = os.environ.get(variable, str(PORTS[service]))
    if not value.isdecimal() or not 0 < int(value) < 65536:
        raise ValueError(f"{variable} must be a port number from 1 to 65535, got {value!r}")
    return int(value)


def free_port() -> int:
    """Return a loopback port that is free now."""
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
