"""Starts a service as its users do."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil

from slipway import home
from tests.conftest import ROOT, running


@contextmanager
def started(
    service: str, env: dict[str, str], log: Path, *, folder: Path = ROOT, ready: str = "/v1/ready"
) -> Iterator[tuple[httpx.Client, psutil.Process]]:
    """Run `python -m services.<service>` on a free port."""
    port = home.free_port()
    address = f"http://{home.LOOPBACK}:{port}"
    variables = {f"SLIPWAY_{service.upper()}_PORT": str(port), "PYTHONPATH": str(ROOT), **env}
    command = (sys.executable, "-m", f"services.{service}")
    with (
        running(*command, env=variables, log=log, ready=address + ready, folder=folder) as process,
        httpx.Client(base_url=address, timeout=60) as client,
    ):
        yield client, psutil.Process(process.pid)
