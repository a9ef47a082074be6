"""Converts forms with fields and files, and raw media, to the JSON record that they stand for."""

import asyncio
import re
from urllib.parse import parse_qsl

from pydantic_core import to_json
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive, Scope

from services.predict.body import Disconnected, too_large
from services.predict.form_fields import FormFields
from services.web.problem import Problem

FILES, FIELDS = 100, 500
CHARSET = re.compile(rb'charset\s*=\s*"?([^";\s]*)', re.IGNORECASE)
# Python has codecs, such as unicode_escape, that turn text into what no JSON can hold.
CHARSETS = frozenset({b"utf-8", b"utf8", b"us-ascii"})
# Converting more bytes takes over a millisecond, so it is done in a thread.
LARGE_BYTES = 2**19

Values = dict[str, list[str | bytes]]


async def form_to_json(
    scope: Scope, receive: Receive, headers: dict[bytes, bytes], limit: int, fields: FormFields
) -> bytes:
    """Return the form as JSON: files as base64, repeated names as lists.

    Raises:
        Problem: the form is damaged or too large.
        Disconnected: the caller disconnected.
    """
    charset = CHARSET.search(headers.get(b"content-type", b""))
    if charset and charset[1].lower() not in CHARSETS:
        shown = charset[1].decode("latin-1")[:40]
        raise Problem(415, "Unsupported charset", f"a form must be UTF-8, got {shown!r}")
    length = headers.get(b"content-length", b"")
    if not length.isdigit():
        raise Problem(411, "Length required", "a multipart body needs a Content-Length")
    if int(length) > limit:
        raise too_large(limit)
    values: Values = {}
    try:
        async with Request(scope, receive).form(
            max_files=FILES, max_fields=FIELDS, max_part_size=limit
        ) as form:
            for name, value in form.multi_items():
                if not isinstance(value, UploadFile):
                    values.setdefault(name, []).append(value)
                elif value.filename or value.size:  # a browser sends a file that was not chosen
                    values.setdefault(name, []).append(await value.read())
    except ClientDisconnect:
        raise Disconnected from None
    except HTTPException as error:
        raise Problem(400, "Malformed form", str(error.detail)) from error
    except MultiPartException as error:
        raise Problem(400, "Malformed form", error.message) from error
    return await _as_json(values, fields, int(length))


async def media_to_json(media: bytes, name: str, query: bytes, fields: FormFields) -> bytes:
    """Return the record with `media` as the field `name`, and the other fields from the query.

    Raises:
        Problem: a field of the query is not valid JSON where it has to be.
    """
    values: Values = {}
    for key, value in parse_qsl(query.decode("latin-1"), keep_blank_values=True):
        values.setdefault(key, []).append(value)
    values[name] = [media]
    return await _as_json(values, fields, len(media))


async def _as_json(values: Values, fields: FormFields, size: int) -> bytes:
    if size < LARGE_BYTES:
        return to_json(fields.record(values))
    return await asyncio.to_thread(lambda: to_json(fields.record(values)))
