"""The faults: how each is injected into the stack, and how it is undone."""

from dataclasses import dataclass
from typing import Protocol

from infra.chaos.judge import Records
from infra.compose.running import Failed, Stack
from infra.docker import docker

HELPER = "hand"
RECORDS = "/var/lib/slipway/predictions"


class InjectedFault(Protocol):
    """One thing that goes wrong."""

    @property
    def kind(self) -> str: ...

    @property
    def service(self) -> str:
        """The compose service that is affected."""

    @property
    def network(self) -> str:
        """The network that the container is cut off from; empty for other faults."""

    @property
    def name(self) -> str:
        """The fault's name in the table."""

    def inflict(self, stack: Stack) -> None:
        """Inject the fault. Raises DockerFault: Docker refused."""

    def undo(self, stack: Stack) -> None:
        """Undo the fault; does nothing where Docker itself recovers. Raises DockerFault: Docker
        refused."""


@dataclass(frozen=True)
class _ContainerFault:
    """A fault of one container; `number` is the replica."""

    service: str
    number: int
    network = ""
    kind = ""

    def container(self, stack: Stack) -> str:
        return f"{stack.project}-{self.service}-{self.number}"

    @property
    def label(self) -> str:
        return self.service if self.number == 1 else f"{self.service} {self.number}"

    @property
    def name(self) -> str:
        return f"{self.kind} {self.label}"


@dataclass(frozen=True)
class Kill(_ContainerFault):
    """SIGKILL to the container's first process; Docker restarts it by its restart policy."""

    kind = "kill"

    def inflict(self, stack: Stack) -> None:
        number = docker("inspect", "--format", "{{.State.Pid}}", self.container(stack))
        stack.compose("exec", "-T", HELPER, "sh", "-c", f"kill -KILL {int(number)}")

    def undo(self, stack: Stack) -> None:
        pass


@dataclass(frozen=True)
class KillChildren(Kill):
    """SIGKILL to the children of the container's first process, which starts them again."""

    kind = "kill children of"

    def inflict(self, stack: Stack) -> None:
        number = int(docker("inspect", "--format", "{{.State.Pid}}", self.container(stack)))
        children = f"$(cat /proc/{number}/task/{number}/children)"
        stack.compose("exec", "-T", HELPER, "sh", "-c", f"kill -KILL {children}")


@dataclass(frozen=True)
class Pause(_ContainerFault):
    """A frozen container: its connections stay open and get no response, so clients must time
    out."""

    kind = "pause"

    def inflict(self, stack: Stack) -> None:
        docker("pause", self.container(stack))

    def undo(self, stack: Stack) -> None:
        docker("unpause", self.container(stack))


@dataclass(frozen=True)
class Cut(_ContainerFault):
    """A container that is disconnected from one of its networks."""

    network: str
    kind = "cut"

    @property
    def name(self) -> str:
        return f"{super().name} from {self.network}"

    def _network(self, stack: Stack) -> str:
        return f"{stack.project}_{self.network}"

    def inflict(self, stack: Stack) -> None:
        docker("network", "disconnect", self._network(stack), self.container(stack))

    def undo(self, stack: Stack) -> None:
        # With the names by which compose lets other containers find it.
        aliases = [word for name in self._names(stack) for word in ("--alias", name)]
        docker("network", "connect", *aliases, self._network(stack), self.container(stack))

    def _names(self, stack: Stack) -> list[str]:
        return [self.service, self.container(stack)]


@dataclass(frozen=True)
class Fill:
    """The volume of the prediction record, filled to its last byte."""

    service: str
    kind = "fill"
    network = ""
    name = "fill the prediction record's volume"

    def inflict(self, stack: Stack) -> None:
        stack.compose("exec", "--detach", HELPER, "sh", "/within/fill.sh", RECORDS)

    def undo(self, stack: Stack) -> None:
        stack.compose("exec", "-T", HELPER, "rm", f"{RECORDS}/filler")


def find_records(stack: Stack, ids: list[str]) -> Records:
    """Count the ids that promise a record, and those of them that have one.

    Raises:
        Failed: the record could not be read.
    """
    args = ("exec", "-i", f"{stack.project}-{HELPER}-1", "python", "/within/find.py", RECORDS)
    output = docker(*args, seconds=300, input="\n".join(ids))
    found = Records.model_validate_json(output)
    if found.promised + found.unpromised != len(ids):
        raise Failed(f"looked up {found.promised + found.unpromised} of {len(ids)} ids")
    return found
