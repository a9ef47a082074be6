"""What is done to the stack, and how it is undone."""

from dataclasses import dataclass
from typing import Protocol

from infra.chaos.judge import Records
from slipway.docker import docker
from slipway.stack.running import Failed, Stack

HAND = "hand"
RECORDS = "/var/lib/slipway/predictions"


class Fault(Protocol):
    """One thing that goes wrong."""

    @property
    def kind(self) -> str: ...

    @property
    def service(self) -> str:
        """Whose it is."""

    @property
    def network(self) -> str:
        """That is cut; empty where none is."""

    @property
    def name(self) -> str:
        """As the table says it."""

    def inflict(self, stack: Stack) -> None:
        """Raises DockerFault: it could not be done."""

    def undo(self, stack: Stack) -> None:
        """Nothing where Docker itself is to put it right. Raises DockerFault: it could
        not be done."""


@dataclass(frozen=True)
class _OfContainer:
    """`number` is the replica's."""

    service: str
    number: int
    network = ""
    kind = ""

    def container(self, stack: Stack) -> str:
        return f"{stack.project}-{self.service}-{self.number}"

    @property
    def place(self) -> str:
        return self.service if self.number == 1 else f"{self.service} {self.number}"

    @property
    def name(self) -> str:
        return f"{self.kind} {self.place}"


@dataclass(frozen=True)
class Kill(_OfContainer):
    """Its first process dies by SIGKILL, and Docker starts it again by its restart policy."""

    kind = "kill"

    def inflict(self, stack: Stack) -> None:
        number = docker("inspect", "--format", "{{.State.Pid}}", self.container(stack))
        stack.compose("exec", "-T", HAND, "sh", "-c", f"kill -KILL {int(number)}")

    def undo(self, stack: Stack) -> None:
        pass


@dataclass(frozen=True)
class Pause(_OfContainer):
    """It keeps its connections and answers nothing: what timeouts are for."""

    kind = "pause"

    def inflict(self, stack: Stack) -> None:
        docker("pause", self.container(stack))

    def undo(self, stack: Stack) -> None:
        docker("unpause", self.container(stack))


@dataclass(frozen=True)
class Cut(_OfContainer):
    """It is taken off one of its networks."""

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
        # Under the names by which compose lets others find it.
        aliases = [word for name in self._names(stack) for word in ("--alias", name)]
        docker("network", "connect", *aliases, self._network(stack), self.container(stack))

    def _names(self, stack: Stack) -> list[str]:
        return [self.service, self.container(stack)]


@dataclass(frozen=True)
class Fill:
    """The volume of the prediction record is full to its last byte."""

    service: str
    kind = "fill"
    network = ""
    name = "fill the prediction record's volume"

    def inflict(self, stack: Stack) -> None:
        stack.compose("exec", "--detach", HAND, "sh", "/within/fill.sh", RECORDS)

    def undo(self, stack: Stack) -> None:
        stack.compose("exec", "-T", HAND, "rm", f"{RECORDS}/filler")


def on_record(stack: Stack, ids: list[str]) -> Records:
    """How many of the ids promise a record, and how many of those have one.

    Raises:
        Failed: the record could not be read.
    """
    words = ("exec", "-i", f"{stack.project}-{HAND}-1", "python", "/within/find.py", RECORDS)
    said = docker(*words, seconds=300, input="\n".join(ids))
    found = Records.model_validate_json(said)
    if found.promised + found.unpromised != len(ids):
        raise Failed(f"of {len(ids)} ids {found.promised + found.unpromised} were looked for")
    return found
