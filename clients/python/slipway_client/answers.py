"""The responses of the server: predictions, media, and descriptions of models."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


class Prediction(Mapping[str, Any]):
    """One prediction: its fields as attributes and as keys, and which version made it.

    `prediction.survived` and `prediction["survived"]` are the same. Pictures and other media are
    bytes.
    """

    def __init__(self, fields: Mapping[str, Any], response: Mapping[str, Any], row: int) -> None:
        self._fields = dict(fields)
        self.id: str = response.get("id", "")
        """The id of the response, under which it is on record."""
        self.row = row
        """Its number in the response, from 0."""
        self.model: str = response.get("model", "")
        self.version: str = response.get("version", "")
        self.variant: str = response.get("variant", "")

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["_fields"][name]
        except KeyError:
            raise AttributeError(f"the prediction has no field {name!r}") from None

    def __getitem__(self, name: str) -> Any:
        return self._fields[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._fields]

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={_short(value)}" for name, value in self._fields.items())
        return f"Prediction({shown}, version={self.version!r})"


def _short(value: Any) -> str:
    if isinstance(value, bytes):
        return f"<{len(value)} bytes>"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


@dataclass(frozen=True)
class Media:
    """A picture, a sound, a video or a document that a model returned as such."""

    content: bytes = field(repr=False)
    media_type: str
    id: str
    model: str
    version: str
    variant: str

    def save(self, path: str | Path) -> Path:
        """Write the content to a file; return its path."""
        file = Path(path)
        file.write_bytes(self.content)
        return file


@dataclass(frozen=True)
class ModelInfo:
    """A served model, as the server lists it."""

    name: str
    version: str
    variants: dict[str, str]
    """Version numbers by variant: champion, challenger, shadow."""
    loaded: bool


def model_infos(content: Mapping[str, Any]) -> list[ModelInfo]:
    """Return the models of the server's list."""
    return [
        ModelInfo(each["name"], str(each["version"]), dict(each["variants"]), bool(each["loaded"]))
        for each in content["models"]
    ]


def predictions(response: Mapping[str, Any], media: frozenset[str]) -> list[Prediction]:
    """Return the predictions of a response.

    Args:
        media: the fields that hold media, in base64.
    """
    return [
        Prediction(decoded(fields, media), response, row)
        for row, fields in enumerate(response["predictions"])
    ]


def decoded(fields: Mapping[str, Any], media: frozenset[str]) -> dict[str, Any]:
    """Return the fields with media as bytes."""
    return {name: _decode(value) if name in media else value for name, value in fields.items()}


def _decode(value: Any) -> Any:
    if isinstance(value, str):
        # Both alphabets are read; servers of Slipway write the standard one.
        return base64.b64decode(value.replace("-", "+").replace("_", "/"))
    if isinstance(value, list):
        return [_decode(each) for each in value]
    return value


def media_answer(content: bytes, headers: Mapping[str, str]) -> Media:
    """Return the medium in a response whose body is one."""
    return Media(
        content=content,
        media_type=headers.get("content-type", "").partition(";")[0],
        id=headers.get("slipway-id", ""),
        model=headers.get("slipway-model", ""),
        version=headers.get("slipway-version", ""),
        variant=headers.get("slipway-variant", ""),
    )
