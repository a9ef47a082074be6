"""Run a server while it is measured: start it on its core, and stop it with all its processes."""

import http.client
import os
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks import work
from benchmarks.rival import NotRun, Rival
from infra.local.platform import stop
from slipway import home

# The generator and everything else run on the other core.
SERVER_CORE, GENERATOR_CORE = 0, 1
START_SECONDS = 120
POLL_SECONDS = 0.01


@dataclass(frozen=True)
class Memory:
    """Memory of all processes of a server together, in MiB. PSS counts shared pages once."""

    rss: float
    pss: float


@dataclass(frozen=True)
class Server:
    process: psutil.Process
    ready_seconds: float

    def process_tree(self) -> list[psutil.Process]:
        """Return the process and all that it started, including orphans."""
        return process_tree(self.process)

    def memory(self) -> Memory:
        rss = pss = 0
        for each in self.process_tree():
            try:
                full = each.memory_full_info()
            except psutil.NoSuchProcess:
                continue
            rss, pss = rss + full.rss, pss + full.pss
        return Memory(rss / 2**20, pss / 2**20)

    def cpu_seconds(self) -> float:
        used = 0.0
        for each in self.process_tree():
            try:
                times = each.cpu_times()
            except psutil.NoSuchProcess:
                continue
            used += times.user + times.system
        return used

    def check_pinned(self) -> None:
        """Check that no thread of the server may run on another core.

        Raises:
            NotRun: some thread may.
        """
        for each in self.process_tree():
            try:
                threads = [thread.id for thread in each.threads()]
            except psutil.NoSuchProcess:
                continue
            for thread in threads:
                try:
                    cores = os.sched_getaffinity(thread)
                except ProcessLookupError:
                    continue
                if cores != {SERVER_CORE}:
                    raise NotRun(f"{each.name()} runs on the cores {sorted(cores)}, not on one")


def process_tree(process: psutil.Process) -> list[psutil.Process]:
    found = {process.pid: process}
    with suppress(psutil.NoSuchProcess):  # it ended while starting
        found.update((child.pid, child) for child in process.children(recursive=True))
    # A worker whose parent ended keeps its session id.
    for each in psutil.process_iter():
        try:
            if os.getsid(each.pid) == process.pid:
                found[each.pid] = each
        except ProcessLookupError:
            continue
    return list(found.values())


@contextmanager
def on_core(core: int) -> Iterator[None]:
    """Pin this process to `core` within the block; child processes inherit it."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def serving(rival: Rival) -> Iterator[Server]:
    """Run the server on its core, and yield it once it is ready.

    Raises:
        NotRun: the server does not start.
    """
    if not callable(rival.command):
        with running(
            rival.name,
            rival.command,
            port=rival.port,
            ready=rival.ready,
            environment=rival.environment,
            core=SERVER_CORE,
        ) as server:
            yield server
        return
    with ExitStack() as stack:
        with on_core(SERVER_CORE):
            started = stack.enter_context(rival.command(log_of(rival.name)))
        process = psutil.Process(started)
        yield Server(process, time.time() - process.create_time())


def log_of(name: str) -> Path:
    return work.folder() / "logs" / f"{name}.log"


@contextmanager
def running(
    name: str,
    command: Sequence[str | Path],
    *,
    port: int,
    ready: str,
    environment: Mapping[str, str],
    core: int,
) -> Iterator[Server]:
    """Run the program, and yield it once `ready` returns 200.

    Raises:
        NotRun: the program ends, or is not ready in 120 s.
    """
    log = log_of(name)
    folder = work.folder() / "running" / name
    for each in (log.parent, folder):
        each.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as out, on_core(core):
        began = time.perf_counter()
        child = subprocess.Popen(
            [str(arg) for arg in command],
            cwd=folder,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    process = psutil.Process(child.pid)
    try:
        wait(name, child, port=port, ready=ready, log=log)
        yield Server(process, time.perf_counter() - began)
    finally:
        members = process_tree(process)
        with suppress(psutil.NoSuchProcess):
            stop(process)
        for each in members:
            if each.is_running() and each.pid != child.pid:
                stop(each)
        child.wait(15)


def wait(name: str, child: "subprocess.Popen[bytes]", *, port: int, ready: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not responds(port, ready):
        lines = log.read_text(errors="replace").strip().splitlines()
        last = lines[-1][:300] if lines else "no output"
        if child.poll() is not None:
            raise NotRun(f"{name} ended while starting: {last}")
        if time.monotonic() > deadline:
            raise NotRun(f"{name} was not ready in {START_SECONDS} s: {last}")
        time.sleep(POLL_SECONDS)


def responds(port: int, path: str) -> bool:
    """Return whether GET `path` gets status 200."""
    connection = http.client.HTTPConnection(home.LOOPBACK, port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
