"""The marker of state that the caller keeps between requests."""

from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

from pydantic import ValidationError

from slipway.contract.record import Record
from slipway.media.marker import Media
from slipway.media.refusals import Refused

Content = TypeVar("Content", bound=Record)


@dataclass(frozen=True, kw_only=True)
class State(Media):
    """Marks state: `state: Annotated[bytes | None, State(content=Tracks)] = None`.

    The model returns it in a field of the same name, and the caller sends it back with the next
    request, so the server keeps nothing. It comes from the caller: treat it as input. With
    `content`, only bytes that `encode_state` could have made of such a record are accepted.
    """

    kind: ClassVar[str] = "state"

    max_bytes: int = 65536
    content: type[Record] | None = None

    @property
    def media_types(self) -> tuple[str, ...]:
        return ("application/octet-stream" if self.content is None else "application/json",)

    def describe(self, data: bytes) -> dict[str, Any]:
        """Return nothing: state has no header."""
        return {}

    def check_content(self, data: bytes) -> None:
        if self.content is not None:
            decode_state(data, self.content)


def encode_state(content: Record) -> bytes:
    """Return a record as the bytes of a `State` field."""
    return content.model_dump_json().encode()


def decode_state(data: bytes, content: type[Content]) -> Content:
    """Return the record that `encode_state` wrote.

    Raises:
        ValueError: the bytes are no such record.
    """
    try:
        return content.model_validate_json(data)
    except ValidationError:
        raise Refused(f"is not a state of type {content.__name__}") from None
