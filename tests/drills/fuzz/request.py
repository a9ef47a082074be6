"""A request as bytes, and what came back."""

from dataclasses import dataclass, field
from typing import Any, Literal

Ending = Literal["wait", "shut", "reset"]


@dataclass(frozen=True)
class Request:
    """The bytes of one connection, or of one gRPC call."""

    number: int
    """Its place in the sequence of its seed."""
    route: str
    """The method and the path with its parameters' names."""
    made: str
    """The changes by which it differs from a valid one."""
    content: bytes
    ending: Ending = "wait"
    """After the last byte: wait for the response, close our side, or reset the connection."""
    head_only: bool = False
    """True if the response has no body: the method is HEAD."""
    grpc_method: str = ""
    """The full name of a gRPC method; `content` is then its message."""
    to_grpc_port: bool = False
    """True if the bytes go to the port of gRPC as they are."""

    @property
    def needs_answer(self) -> bool:
        """True if the message is whole, so that silence is a fault."""
        return self.ending == "wait" and not self.to_grpc_port


@dataclass(frozen=True)
class Answer:
    """A response, or why there is none."""

    status: int | str
    """An HTTP status, the name of a gRPC status, or `closed`, `reset`, `timeout`, `malformed`."""
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    cut_off: bool = False
    """True if the server closed the connection within the body."""
    value: Any = None
    """The body if it was JSON; the message of a gRPC response."""
