"""Puts requests into bytes: plainly, or with framing that a client library would not send."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random

Header = tuple[bytes, bytes]
MEBIBYTE = 2**20


@dataclass(frozen=True)
class Message:
    """A request before it is framed."""

    method: bytes
    target: bytes
    headers: tuple[Header, ...]
    body: bytes

    def head(self, *more: Header, host: bytes | None = b"localhost", end: bytes = b"\r\n") -> bytes:
        """Return the request line and headers; `host` None leaves the Host header out."""
        named = () if host is None else ((b"Host", host),)
        pairs = (*named, *self.headers, *more, (b"Connection", b"close"))
        lines = b"".join(b"%b: %b%b" % (name, value, end) for name, value in pairs)
        return b"%b %b HTTP/1.1%b%b%b" % (self.method, self.target, end, lines, end)


def _length(body: bytes) -> Header:
    return b"Content-Length", b"%d" % len(body)


def plain(message: Message) -> bytes:
    """Return the request with the length of its body."""
    more = (_length(message.body),) if message.body or message.method != b"GET" else ()
    return message.head(*more) + message.body


def chunked(
    message: Message, size: int, *, extension: bytes = b"", last: bytes = b"0\r\n\r\n"
) -> bytes:
    """Return the request with a body in chunks of `size` bytes."""
    body = message.body
    parts = (body[at : at + size] for at in range(0, len(body), size))
    chunks = b"".join(b"%x%b\r\n%b\r\n" % (len(part), extension, part) for part in parts)
    return message.head((b"Transfer-Encoding", b"chunked")) + chunks + last


def _raw_line(message: Message, draw: Random) -> bytes:
    lines = (
        b"GET / HTTP/0.9\r\n\r\n",
        b"GET / HTTP/9.9\r\nHost: localhost\r\n\r\n",
        b"GET  /\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + draw.randbytes(200),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + draw.randbytes(100),
        b"\r\n" * 1000 + plain(message),
        b"GET /" + draw.randbytes(50) + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET * HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        draw.randbytes(300),
    )
    return draw.choice(lines)


def _absolute(message: Message, draw: Random) -> bytes:
    place = draw.choice((b"http://localhost", b"http://evil.example", b"http://", b"//"))
    return plain(replace(message, target=place + message.target))


def _one_byte_chunks(message: Message, draw: Random) -> bytes:
    # In a body that is long enough, they once kept a worker busy until it was killed.
    body = message.body or b" "
    long = replace(message, body=body + b" " * draw.choice((0, 1000, 60_000)))
    return chunked(long, 1)


def _bad_header(message: Message, draw: Random) -> bytes:
    bad: tuple[Header, ...] = (
        (b"X-Nul", b"a\0b"),
        (b"X-Folded", b"a\r\n b"),
        (b"X Space", b"a"),
        (b"", b"a"),
        (b"X-Latin", b"\xe9\xff"),
        (b"X-Line", b"a\rb"),
        (b"Transfer-Encoding", b"gzip, chunked, identity"),
        (b"Upgrade", b"websocket"),
        (b"Upgrade", b"h2c"),
        (b"Expect", b"100-continue"),
        (b"Expect", b"miracles"),
        (b"TE", b"trailers"),
    )
    return message.head(draw.choice(bad), _length(message.body)) + message.body


def _lengths(message: Message, draw: Random) -> bytes:
    values = (b"-1", b"0x10", b"1e3", b"", b"+1", b"1, 1", b"9" * 30, b"838860800", b" 1 ")
    return message.head((b"Content-Length", draw.choice(values))) + message.body


def _both_lengths(message: Message, draw: Random) -> bytes:
    head = message.head((b"Transfer-Encoding", b"chunked"), (b"Content-Length", b"5"))
    return head + b"1\r\n{\r\n0\r\n\r\n"


def _bad_chunks(message: Message, draw: Random) -> bytes:
    chunks = (
        b"zz\r\n{}\r\n",
        b"-1\r\n{}\r\n",
        b"ffffffffffffffff\r\n{}",
        b"2\r\n{}{}{}\r\n",
        b"\r\n",
    )
    return message.head((b"Transfer-Encoding", b"chunked")) + draw.choice(chunks)


def _endless(message: Message, draw: Random) -> bytes:
    start = b"%b %b HTTP/1.1\r\nHost: localhost\r\n" % (message.method, message.target)
    body = start + b"Transfer-Encoding: chunked\r\n\r\n"
    line = b"X-Name: value\r\n"
    return draw.choice(
        (
            b"GET /" + b"a" * MEBIBYTE,
            start + b"X-Long: " + b"a" * MEBIBYTE,
            start + line * (MEBIBYTE // len(line)),
            body + b"0\r\n" + line * (MEBIBYTE // len(line)),
            body + b"1;" + b"a" * MEBIBYTE,
        )
    )


# Whole messages, to which any service must respond.
WHOLE: dict[str, Callable[[Message, Random], bytes]] = {
    "chunks": lambda message, draw: chunked(message, draw.choice((7, 100, 4096))),
    "chunks of one byte": _one_byte_chunks,
    "chunk extensions": lambda message, draw: chunked(message, 50, extension=b";a=b"),
    "trailers": lambda message, draw: chunked(message, 50, last=b"0\r\nX-Last: 1\r\n\r\n"),
    "no Host": lambda message, draw: message.head(_length(message.body), host=None) + message.body,
    "two Hosts": lambda message, draw: plain(
        replace(message, headers=((b"Host", b"localhost"), *message.headers))
    ),
    "other Host": lambda message, draw: (
        message.head(_length(message.body), host=draw.choice((b"evil.example", b"[::1", b"\xff")))
        + message.body
    ),
    "absolute target": _absolute,
}
# What may be cut or ignored: only what happens to others counts.
BROKEN: dict[str, Callable[[Message, Random], bytes]] = {
    "raw line": _raw_line,
    "bare newlines": lambda message, draw: message.head(end=b"\n") + message.body,
    "bad header": _bad_header,
    "bad length": _lengths,
    "both lengths": _both_lengths,
    "bad chunks": _bad_chunks,
    "endless": _endless,
    "short body": lambda message, draw: message.head(_length(message.body + b"  ")) + message.body,
    "two in one": lambda message, draw: plain(message).replace(b"close", b"keep-alive") * 3,
}
