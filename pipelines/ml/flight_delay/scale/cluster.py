"""A standalone Spark cluster of processes on this machine: a master, and workers of one executor.

A session on it is as on a cluster of machines: driver and executors are processes of their own, and
all that they exchange is serialized and sent through sockets.
"""

import os
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from slipway import home

from ..spark import homes

PATIENCE = 60
# The heap of master and worker, which only start others.
DAEMON_MEMORY = "256m"
# By default a master also takes jobs by REST, on a fixed port and from anyone.
NO_REST = "-Dspark.master.rest.enabled=false"
MASTER = "org.apache.spark.deploy.master.Master"
WORKER = "org.apache.spark.deploy.worker.Worker"


@dataclass(frozen=True)
class Daemon:
    """A master or worker that was started, with its log."""

    process: subprocess.Popen[bytes]
    log: Path

    def logged(self) -> str:
        return self.log.read_text(errors="replace")

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def start(name: str, options: Sequence[str], folder: Path) -> Daemon:
    env = (
        os.environ | homes() | {"SPARK_DAEMON_MEMORY": DAEMON_MEMORY, "SPARK_MASTER_OPTS": NO_REST}
    )
    log = folder / f"{name}-{len(list(folder.glob('*.log')))}.log"
    command = [f"{env['SPARK_HOME']}/bin/spark-class", name, "--host", home.LOOPBACK, *options]
    # Its page gets any free port, on the loopback as everything else.
    command += ["--webui-port", "0"]
    with log.open("wb") as output:
        return Daemon(subprocess.Popen(command, env=env, stdout=output, stderr=output), log)


def wait_for(text: str, times: int, daemons: Sequence[Daemon]) -> None:
    """Wait until the first of the daemons, the master, has logged a text so many times.

    Raises:
        RuntimeError: a daemon has ended, or a minute has passed; the message has its last lines.
    """
    for _ in range(PATIENCE * 10):
        if daemons[0].logged().count(text) >= times:
            return
        if any(each.process.poll() is not None for each in daemons):
            break
        time.sleep(0.1)
    ended = [each for each in daemons if each.process.poll() is not None]
    last = "\n".join((*ended, daemons[0])[0].logged().splitlines()[-5:])
    raise RuntimeError(f"Spark's master did not log {text!r}; the last lines of a log:\n{last}")


@contextmanager
def cluster(workers: int, *, cores: int, memory: str) -> Iterator[str]:
    """Start a master and `workers`, with `cores` and `memory` each; yield the master's URL."""
    port = str(home.free_port())
    url = f"spark://{home.LOOPBACK}:{port}"
    daemons: list[Daemon] = []
    with tempfile.TemporaryDirectory(prefix="cluster-") as place:
        folder = Path(place)
        try:
            daemons.append(start(MASTER, ["--port", port], folder))
            wait_for("I have been elected leader", 1, daemons)
            share = ["--cores", str(cores), "--memory", memory, "--work-dir", place, url]
            for _ in range(workers):
                daemons.append(start(WORKER, share, folder))
            wait_for("Registering worker", workers, daemons)
            yield url
        finally:
            # Workers first: they end their executors.
            for each in reversed(daemons):
                each.stop()
