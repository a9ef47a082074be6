"""Converts a form with fields and files to the JSON record that it stands for."""

import base64
from typing import Any

from pydantic_core import to_json
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import Request
from starlette.types import Receive, Scope

from services.predict.body import too_large
from services.web.problem import Problem

FILES, FIELDS = 10, 500


async def form_to_json(
    scope: Scope,
    receive: Receive,
    headers: dict[bytes, bytes],
    limit: int,
) -> bytes:
    """Return the form as JSON: files as base64, fields as texts.

    Pydantic reads numbers and flags from texts as well. An empty text means unknown.

    Raises:
        Problem: the form is damaged or too large.
    """
    length = headers.get(b"content-length", b"")
    if not length.isdigit():
        raise Problem(411, "Length required", "a multipart body needs a Content-Length")
    if int(length) > limit:
        raise too_large(limit)
    values: dict[str, Any] = {}
    try:
        async with Request(scope, receive).form(max_files=FILES, max_fields=FIELDS) as form:
            for name, value in form.multi_items():
                if isinstance(value, UploadFile):
                    # Pydantic reads and writes the URL-safe alphabet.
                    values[name] = base64.urlsafe_b64encode(await value.read()).decode()
                elif value != "":
                    values[name] = value
    except HTTPException as error:
        raise Problem(400, "Malformed form", str(error.detail)) from error
    except MultiPartException as error:
        raise Problem(400, "Malformed form", error.message) from error
    return to_json(values)
