"""Chooses how a prediction is written: as JSON, as a stream of events, or as raw media."""

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from urllib.parse import parse_qs

from pydantic_core import from_json

from services.predict.form_fields import media_schemas
from services.predict.predictor import Headers, Prediction
from services.predict.snapshot import Profile
from services.web.problem import Problem

JSON, EVENTS = "application/json", "text/event-stream"
# What clients send that want JSON; they need no further look.
PLAIN = frozenset(
    {b"*/*", b"application/json", b"application/json, */*", b"application/json, text/plain, */*"}
)
# The first bytes of the media types that one field may hold side by side.
SIGNATURES = (
    (b"\x89PNG\r\n\x1a\n", 0, "image/png"),
    (b"\xff\xd8\xff", 0, "image/jpeg"),
    (b"WEBP", 8, "image/webp"),
    (b"WAVE", 8, "audio/wav"),
    (b"ftyp", 4, "video/mp4"),
    (b"\x1aE\xdf\xa3", 0, "video/webm"),
    (b"%PDF", 0, "application/pdf"),
    (b"glTF", 0, "model/gltf-binary"),
)


class Style(StrEnum):
    """The form in which a prediction is written."""

    JSON = "json"
    EVENTS = "events"
    MEDIA = "media"


@dataclass(frozen=True, slots=True)
class ResponseFormat:
    """The form that the caller prefers among those that the model can give."""

    style: Style
    accepted: tuple[str, ...] = ()
    """The accepted media types, the preferred first."""
    refusal: Problem | None = None
    """Raised once the caller is admitted: the model gives nothing of what is accepted."""


AS_JSON = ResponseFormat(Style.JSON)


def is_plain(headers: Headers) -> bool:
    """Return whether the request is for an ordinary response in JSON, by its headers."""
    accept = headers.get(b"accept")
    return (accept is None or accept in PLAIN) and b"prefer" not in headers


def choose_format(name: str, accept: bytes, query: bytes, profile: Profile) -> ResponseFormat:
    """Return the first accepted way to write a prediction that the model has."""
    accepted = accepted_types(accept)
    if b"stream=" in query and parse_qs(query.decode("latin-1")).get("stream") == ["true"]:
        accepted = (EVENTS,)
    media = {
        each for schema in media_schemas(profile.output_schema).values() for each in _types(schema)
    }
    for wanted in accepted:
        if _matches(JSON, wanted):
            return ResponseFormat(Style.JSON, accepted)
        if profile.streams and _matches(EVENTS, wanted):
            return ResponseFormat(Style.EVENTS, accepted)
        if any(_matches(each, wanted) for each in media):
            return ResponseFormat(Style.MEDIA, accepted)
    possible = [JSON, *([EVENTS] if profile.streams else []), *sorted(media)]
    return ResponseFormat(
        Style.JSON, accepted, _not_acceptable(f"{name} responds with", possible, accepted)
    )


def accepted_types(accept: bytes) -> tuple[str, ...]:
    """Return the media types of an Accept header, the preferred first; all without a header."""
    ranked: list[tuple[float, str]] = []
    for part in accept.decode("latin-1").lower().split(","):
        kind, *parameters = (each.strip() for each in part.split(";"))
        quality = next((each[2:] for each in parameters if each.startswith("q=")), "1")
        try:
            rank = float(quality)
        except ValueError:
            rank = 1.0
        if kind and rank > 0:
            ranked.append((-rank, kind))
    return tuple(kind for _, kind in sorted(ranked, key=lambda each: each[0])) or ("*/*",)


def choose_type(accept: bytes, possible: tuple[str, ...], start: str) -> str:
    """Return the first accepted media type of those that a response can have.

    Raises:
        Problem: 406, none is accepted; the message begins with `start`.
    """
    accepted = accepted_types(accept)
    for wanted in accepted:
        for kind in possible:
            if _matches(kind, wanted):
                return kind
    raise _not_acceptable(start, list(possible), accepted)


def raw_media(prediction: Prediction, accepted: tuple[str, ...]) -> tuple[str, bytes]:
    """Return the media type and the bytes of the prediction's first accepted media field.

    Raises:
        Problem: 406, this prediction has no such field, or there are several predictions.
    """
    model, response, _ = prediction
    if response.rows != 1:
        message = f"{response.rows} predictions are no raw media; send one record or accept {JSON}"
        raise Problem(406, "Not acceptable", message)
    found = list(_media_of(from_json(response.predictions)[0], model.version.profile.output_schema))
    for wanted in accepted:
        for kind, text in found:
            if _matches(kind, wanted):
                return kind, base64.b64decode(text)
    message = f"this prediction of {model.name} holds"
    raise _not_acceptable(message, [kind for kind, _ in found] or ["no media"], accepted)


def _media_of(fields: dict[str, Any], schema: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the media type and the base64 of each media field; of a list its first element."""
    for name, each in media_schemas(schema).items():
        value = fields.get(name)
        if isinstance(value, list):
            value = value[0] if value else None
        if isinstance(value, str):
            # 24 letters hold the 18 bytes that the signatures need.
            yield _type_of(base64.b64decode(value[:24]), _types(each)), value


def _type_of(start: bytes, declared: list[str]) -> str:
    for signature, place, kind in SIGNATURES:
        if kind in declared and start[place : place + len(signature)] == signature:
            return kind
    return declared[0]


def _types(schema: dict[str, Any]) -> list[str]:
    kinds: list[str] = schema.get("x-slipway", {}).get("media_types", [])
    return kinds or [schema["contentMediaType"]]


def _matches(kind: str, wanted: str) -> bool:
    if wanted in ("*/*", kind):
        return True
    return wanted.endswith("/*") and kind.startswith(wanted[:-1])


def _not_acceptable(start: str, possible: list[str], accepted: tuple[str, ...]) -> Problem:
    message = f"{start} {' or '.join(possible)}; accepted was {', '.join(accepted)}"
    return Problem(406, "Not acceptable", message[:500])
