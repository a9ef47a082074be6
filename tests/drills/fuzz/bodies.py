"""Makes bodies of every kind: JSON, forms, pictures, tensors and tables, and packs them."""

import gzip
from random import Random
from typing import Any

from tests.drills.fuzz import media, tensors
from tests.drills.fuzz.framing import Header
from tests.drills.fuzz.knowledge import Knowledge
from tests.drills.fuzz.routes import Route, sample
from tests.drills.fuzz.tensors import Tensor
from tests.drills.fuzz.values import BODIES, hostile, to_text

WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
TYPES = (
    *("text/plain", "", "application/xml", "image/png", "application/octet-stream", "*/*", "/"),
    *("application/json; charset=utf-16", "application/json;;;", "APPLICATION/JSON", "json"),
    *("multipart/form-data", "multipart/form-data; boundary=", "application/pdf", "a" * 1000),
    *("application/x-www-form-urlencoded", "application/json, text/plain", "audio/wav"),
)
CHARSETS = ("utf-7", "unicode_escape", "raw_unicode_escape", "undefined", "idna", "rot13", "utf-16")


def packed_by_gzip(content: bytes) -> bytes:
    """Return the content packed, without the time of day, which differs between runs."""
    return gzip.compress(content, mtime=0)


class Bodies:
    """Makes the bodies of requests to one service."""

    def __init__(self, knowledge: Knowledge) -> None:
        self._knowledge = knowledge

    def make(
        self, route: Route, name: str, draw: Random, valid: bool, made: list[str]
    ) -> tuple[list[Header], bytes]:
        """Return the headers and the body of a request; `made` gets how it was made."""
        if route.method not in WITH_BODY and (valid or draw.random() < 0.9):
            return [], b""
        kind = draw.random()
        if name and route.path.endswith("/infer"):
            headers, body = self._tensors(name, draw, valid, made)
        elif "multipart/form-data" in route.types and kind < 0.25:
            headers, body = self._form(name, draw, valid, made)
        elif "application/octet-stream" in route.types and kind < 0.4:
            made.append("picture")
            body = media.picture("PNG") if valid else media.some(draw)
            headers = [(b"Content-Type", draw.choice((b"image/png", b"application/octet-stream")))]
        elif route.path.endswith("/jobs") and route.method == "POST" and kind < 0.7:
            headers, body = self._table(name, draw, valid, made)
        else:
            headers, body = self._json(route, name, draw, valid, made)
        if valid:
            return headers, body
        if draw.random() < 0.08:
            made.append("content type")
            headers = [(b"Content-Type", draw.choice(TYPES).encode())]
        if draw.random() < 0.1:
            headers, body = self._encoded(headers, body, draw, made)
        return headers, body

    def _value(self, route: Route, name: str, draw: Random) -> Any:
        """Return a valid body."""
        records = self._knowledge.records.get(name)
        if records and route.path.endswith(("/predict", "/explain")):
            record = draw.choice(records)
            return [record] * draw.choice((1, 2, 20)) if draw.random() < 0.2 else record
        if route.examples and draw.random() < 0.7:
            return draw.choice(route.examples)
        return sample(route.body or {"type": "object"}, route, self._knowledge.known, draw)

    def _json(
        self, route: Route, name: str, draw: Random, valid: bool, made: list[str]
    ) -> tuple[list[Header], bytes]:
        value, headers = self._value(route, name, draw), [(b"Content-Type", b"application/json")]
        if valid:
            return headers, to_text(value).encode()
        kind = "mutated" if draw.random() < 0.5 else draw.choice(list(BODIES))
        made.append(kind)
        return headers, BODIES[kind](value, draw)

    def _tensors(
        self, name: str, draw: Random, valid: bool, made: list[str]
    ) -> tuple[list[Header], bytes]:
        found = self._knowledge.tensors.get(name) or [Tensor("number", "FP64", 1.0)]
        if draw.random() < 0.5:
            kind, body = tensors.as_json(found, draw, valid=valid)
            made.append(f"tensors: {kind}")
            return [(b"Content-Type", b"application/json")], body
        kind, body, length = tensors.as_binary(found, draw, valid=valid)
        made.append(f"binary tensors: {kind}")
        about = (b"Inference-Header-Content-Length", length.encode())
        return [(b"Content-Type", b"application/octet-stream"), about], body

    def _form(
        self, name: str, draw: Random, valid: bool, made: list[str]
    ) -> tuple[list[Header], bytes]:
        record = draw.choice(self._knowledge.records.get(name) or [{"number": 1}])
        made.append("form")
        parts = [
            (field, media.picture("PNG") if field == "image" else str(value).encode())
            for field, value in record.items()
        ]
        kind = b"multipart/form-data; boundary=x"
        disposition = b'--x\r\nContent-Disposition: form-data; name="%b"%b\r\n\r\n%b\r\n'
        file = b'; filename="a.png"\r\nContent-Type: image/png'
        if not valid:
            place = draw.randrange(len(parts))
            field, value = parts[place]
            change = draw.choice(("value", "charset", "picture", "many", "name", "end"))
            made.append(change)
            if change == "value":
                parts[place] = (field, hostile(draw).encode("utf-8", "surrogatepass"))
            elif change == "charset":
                parts[place] = (field, b"\\ud8001")
                kind += b"; charset=" + draw.choice(CHARSETS).encode()
            elif change == "picture":
                parts[place] = (field, media.some(draw))
            elif change == "many":
                parts *= draw.choice((2, 500, 3000))
            elif change == "name":
                parts[place] = (
                    draw.choice(("", "\0", "a" * 5000, '"', "\xff", "_charset_")),
                    value,
                )
            elif change == "end":
                body = b"".join(
                    disposition % (field.encode(), b"", value) for field, value in parts
                )
                return [(b"Content-Type", kind)], body[: draw.randrange(len(body))]
        body = b"".join(
            disposition % (field.encode("latin-1"), file if field == "image" else b"", value)
            for field, value in parts
        )
        return [(b"Content-Type", kind)], body + b"--x--\r\n"

    def _table(
        self, name: str, draw: Random, valid: bool, made: list[str]
    ) -> tuple[list[Header], bytes]:
        record = draw.choice(self._knowledge.records.get(name) or [{"number": 1}])
        names, values = ",".join(record), ",".join(to_text(each) for each in record.values())
        content = f"{names}\n{values}\n{values}\n".encode()
        made.append("table")
        if not valid:
            content = draw.choice(
                (
                    *(content[: draw.randrange(len(content))], content.replace(b",", b"\0")),
                    *(b"PAR1" + draw.randbytes(100) + b"PAR1", b"PK\x03\x04" + draw.randbytes(100)),
                    *(content + b'"' * 99, content.replace(b"\n", b"\r"), b"\xff" * 100, b""),
                    packed_by_gzip(content * 1000),
                )
            )
        return [(b"Content-Type", b"text/csv")], content

    def _encoded(
        self, headers: list[Header], body: bytes, draw: Random, made: list[str]
    ) -> tuple[list[Header], bytes]:
        kind = draw.choice(("gzip", "gzip cut", "bomb", "bomb of records", "twice", "unknown"))
        made.append(f"encoding: {kind}")
        encoding, packed = b"gzip", packed_by_gzip(body)
        if kind == "gzip cut":
            packed = packed[: draw.randrange(len(packed))]
        elif kind == "bomb":
            packed = packed_by_gzip(b" " * 30_000_000)
        elif kind == "bomb of records":
            # All their faults were once collected: 2.7 GB.
            packed = packed_by_gzip(b"[" + b",".join([b"{}"] * 150_000) + b"]")
        elif kind == "twice":
            encoding, packed = b"gzip, gzip", packed_by_gzip(packed)
        elif kind == "unknown":
            encoding = draw.choice((b"br", b"zstd", b"deflate", b"identity", b"x", b"\xff"))
        return [*headers, (b"Content-Encoding", encoding)], packed
