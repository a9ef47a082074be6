"""Keep the proxy's ports open while its HAProxy process is replaced.

    python3 supervisor.py --door 0.0.0.0:8000 --metrics 0.0.0.0:8404 -- haproxy -db -f haproxy.cfg

This process opens the listening sockets and lends them to one HAProxy process (`bind fd@`). When a
signal kills HAProxy (a crash, its own watchdog, the kernel when memory runs out), a new one is
started, 30 ms later on an idle core. New connections meanwhile wait in the kernel's queue instead
of being refused, so that only the requests in HAProxy itself are lost.

HAProxy begins without knowing its servers: it would respond 503 until the name server and the
first health checks have answered. So their state is read once a second, and the next process
begins with it (`load-server-state-from-file`).

One HAProxy and not two: half of the requests in progress would survive, but Prometheus would
scrape one of the two by chance, and two processes number the servers differently, so that a
caller's job would be looked for on the wrong one.

It needs Python's standard library only, and parts of that: Debian's `python3-minimal`.
"""

import os
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

READ_STATE_SECONDS = 1.0
# HAProxy responds in 1 ms. A longer wait would delay its replacement if it dies meanwhile.
CONTROL_SECONDS = 0.25
# A process that lived shorter may die of its state or of its configuration.
SHORT_LIFE_SECONDS = 1.0
# Linux shortens it to net.core.somaxconn, which is 4096 by default.
QUEUE = 4096
# What HAProxy accepts as a state without any server: the version of the format.
NO_STATE = b"1\n"
CAUGHT = (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT)


def listen(address: str) -> socket.socket:
    """Return a listening socket for `host:port`. Raises OSError: the address is in use."""
    host, _, port = address.rpartition(":")
    return socket.create_server((host, int(port)), backlog=QUEUE)


def control_socket() -> socket.socket:
    """Return a socket for HAProxy's commands, under a name that the kernel chooses (unix(7))."""
    control = socket.socket(socket.AF_UNIX)
    control.bind("")
    control.listen()
    return control


def read_state(control: socket.socket) -> bytes | None:
    """Return the servers' state; None if HAProxy does not respond."""
    content = b""
    with socket.socket(socket.AF_UNIX) as wire:
        wire.settimeout(CONTROL_SECONDS)
        try:
            wire.connect(control.getsockname())
            wire.sendall(b"show servers state\n")
            while part := wire.recv(2**16):
                content += part
        except OSError:
            return None
    # An empty line ends a complete response.
    return content if content.startswith(NO_STATE) and content.endswith(b"\n\n") else None


class ProxySupervisor:
    """Runs one HAProxy process at a time on sockets that outlive it."""

    def __init__(self, command: Sequence[str], sockets: Mapping[str, socket.socket]) -> None:
        """Prepare to run `command`; each socket's number is in the variable of its name."""
        self.command, self.sockets = list(command), dict(sockets)
        self.control = control_socket()
        self.state = NO_STATE
        self.pid = 0
        self.started = 0.0
        self.leaving = False

    def run(self) -> int:
        """Run until HAProxy ends by itself or a signal stops it; return the exit status."""
        signal.pthread_sigmask(signal.SIG_BLOCK, CAUGHT)
        with tempfile.NamedTemporaryFile(prefix="servers-") as file:
            self.start(Path(file.name))
            while True:
                caught = signal.sigtimedwait(CAUGHT, READ_STATE_SECONDS)
                if caught and caught.si_signo != signal.SIGCHLD:
                    self.leave()
                elif (status := self.reap()) is not None:
                    if status >= 0 or self.leaving:
                        return max(status, 0)
                    print(f"HAProxy was killed by signal {-status}: replaced", file=sys.stderr)
                    self.start(Path(file.name))
                elif not caught and not self.leaving:
                    self.state = read_state(self.control) or self.state

    def start(self, file: Path) -> None:
        """Start HAProxy with the last known state of the servers."""
        if time.monotonic() - self.started < SHORT_LIFE_SECONDS:
            # The state may be what it died of; the pause keeps a core free. Connections wait.
            self.state = NO_STATE
            time.sleep(SHORT_LIFE_SECONDS)
        file.write_bytes(self.state)
        numbers = {name: each.fileno() for name, each in self.sockets.items()}
        numbers["SLIPWAY_PROXY_CONTROL"] = self.control.fileno()
        for number in numbers.values():
            os.set_inheritable(number, True)
        variables = {name: str(number) for name, number in numbers.items()}
        variables["SLIPWAY_PROXY_STATE"] = str(file)
        self.started = time.monotonic()
        self.pid = os.posix_spawnp(
            self.command[0], self.command, {**os.environ, **variables}, setsigmask=()
        )

    def reap(self) -> int | None:
        """Return HAProxy's exit status, negative for a signal; None while it runs.

        As a container's first process this one inherits those of others, such as health checks.
        """
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return None
            if pid == 0:
                return None
            if pid == self.pid:
                return os.waitstatus_to_exitcode(status)

    def leave(self) -> None:
        """Refuse new connections, and let HAProxy complete its requests (`hard-stop-after`)."""
        self.leaving = True
        for each in self.sockets.values():
            each.close()
        os.kill(self.pid, signal.SIGUSR1)


def main(words: Sequence[str]) -> int:
    """Run the command after `--`. Returns its exit status, 2 for wrong arguments."""
    match list(words):
        case ["--door", door, "--metrics", metrics, "--", *command] if command:
            pass
        case _:
            print(f"usage:{(__doc__ or '').splitlines()[2]}", file=sys.stderr)
            return 2
    sockets = {"SLIPWAY_PROXY_DOOR": listen(door), "SLIPWAY_PROXY_METRICS": listen(metrics)}
    return ProxySupervisor(command, sockets).run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
