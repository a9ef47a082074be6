"""A name server for a service's replicas, like Docker's resolver."""

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address
from socketserver import BaseRequestHandler, UDPServer
from threading import Thread

from slipway import home

# RFC 1035, 4.1: a header of 12 bytes, then the question.
HEADER = struct.Struct("!6H")
ANSWERED, UNKNOWN = 0x8400, 0x8403
ADDRESS, INTERNET = 1, 1
# A pointer to the name in the question.
SAME_NAME = 0xC000 | HEADER.size


class Names:
    """`known` maps names to addresses; `addresses` are those of the first name."""

    def __init__(self, name: str, *addresses: str) -> None:
        self.addresses = list(addresses)
        self.known = {name: self.addresses}

    def answer(self, query: bytes) -> bytes:
        number = HEADER.unpack_from(query)[0]
        name, end = _name(query)
        question = query[HEADER.size : end + 4]
        (kind,) = struct.unpack_from("!H", query, end)
        found = self.known.get(name, []) if kind == ADDRESS else []
        flags = ANSWERED if name in self.known else UNKNOWN
        records = [
            struct.pack("!HHHIH", SAME_NAME, ADDRESS, INTERNET, 0, 4) + IPv4Address(each).packed
            for each in found
        ]
        return HEADER.pack(number, flags, 1, len(records), 0, 0) + question + b"".join(records)

    @contextmanager
    def answering(self) -> Iterator[str]:
        """Run the server and yield its address, `host:port`."""
        outer = self

        class Handler(BaseRequestHandler):
            def handle(self) -> None:
                query, socket = self.request
                socket.sendto(outer.answer(query), self.client_address)

        with UDPServer((home.LOOPBACK, 0), Handler) as server:
            thread = Thread(target=server.serve_forever, daemon=True)
            thread.start()
            try:
                yield f"{home.LOOPBACK}:{server.server_address[1]}"
            finally:
                server.shutdown()
                thread.join()


def _name(query: bytes) -> tuple[str, int]:
    """Return the requested name in lower case, and where it ends."""
    at, words = HEADER.size, []
    while length := query[at]:
        words.append(query[at + 1 : at + 1 + length].decode().lower())
        at += 1 + length
    return ".".join(words), at + 1
