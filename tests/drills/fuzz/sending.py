"""Sends a request over a raw socket, or over gRPC, and reads the response."""

import http.client
import json
import socket
import struct
import time
from contextlib import suppress
from typing import Any

import grpc

from tests.drills.fuzz.request import Answer, Request

HEAD_SECONDS = 30.0
# A log that is followed does not end.
BODY_SECONDS = 3.0
MOST_BYTES = 2**24


def send(request: Request, address: tuple[str, int], channel: grpc.Channel | None = None) -> Answer:
    """Send the request to `host, port`, or by the gRPC channel, and return the response."""
    if request.grpc_method:
        assert channel is not None
        return _call(request, channel)
    with socket.create_connection(address, timeout=HEAD_SECONDS) as connection:
        with suppress(ConnectionError, TimeoutError):  # refused while it was still sending
            connection.sendall(request.content)
        if request.ending == "reset":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return Answer("reset by us")
        if request.ending == "shut":
            with suppress(OSError):
                connection.shutdown(socket.SHUT_WR)
        return _read(connection, request)


def _read(connection: socket.socket, request: Request) -> Answer:
    response = http.client.HTTPResponse(connection, method="HEAD" if request.head_only else None)
    try:
        response.begin()
    except TimeoutError:
        return Answer("timeout")
    except ConnectionError:  # also RemoteDisconnected
        return Answer("closed")
    except (http.client.HTTPException, ValueError):
        return Answer("malformed")
    body, cut_off = _read_body(response, connection)
    headers = {name.lower(): value for name, value in response.getheaders()}
    return Answer(response.status, headers, body, cut_off, _parse(headers, body))


def _read_body(response: http.client.HTTPResponse, connection: socket.socket) -> tuple[bytes, bool]:
    """Return the body, and whether the server closed the connection within it."""
    deadline, size = time.monotonic() + HEAD_SECONDS, 0
    parts: list[bytes] = []
    connection.settimeout(BODY_SECONDS)
    try:
        while size < MOST_BYTES and time.monotonic() < deadline:
            part = response.read1(2**16)
            if not part:
                short = response.length  # what is missing of a declared length
                return b"".join(parts), bool(short)
            parts.append(part)
            size += len(part)
    except TimeoutError:
        pass
    except (http.client.HTTPException, ConnectionError, ValueError):
        return b"".join(parts), True
    return b"".join(parts), False


def _parse(headers: dict[str, str], body: bytes) -> Any:
    if "json" not in headers.get("content-type", "") or len(body) > 2**18:
        return None
    try:
        return json.loads(body)
    except ValueError:
        return None


def _call(request: Request, channel: grpc.Channel) -> Answer:
    method = channel.unary_unary(request.grpc_method)
    try:
        message = method(request.content, timeout=HEAD_SECONDS)
    except grpc.RpcError as error:
        return Answer(error.code().name, body=str(error.details()).encode())
    return Answer("OK", value=message)
