"""The same picture sent as base64 in JSON, in a form, and as the body itself."""

from collections.abc import Callable

from benchmarks.media.subject import PICTURES, MediaSubject
from slipway import home

PATH = f"/v1/models/{PICTURES}/predict"
BOUNDARY = "----------benchmark"
_FORM_HEAD = (
    f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="image"; filename="photo.jpg"\r\n'
    "Content-Type: image/jpeg\r\n\r\n"
)


def requests(subject: MediaSubject, port: int) -> dict[str, list[bytes]]:
    """Return the complete requests with every picture, by the way that it is sent."""

    def with_head(body: bytes, kind: str) -> bytes:
        head = (
            f"POST {PATH} HTTP/1.1\r\nHost: {home.LOOPBACK}:{port}\r\n"
            f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body

    def json(number: int) -> bytes:
        body = f'{{"image":"{subject.texts[number]}"}}'
        return with_head(body.encode(), "application/json")

    def form(number: int) -> bytes:
        body = _FORM_HEAD.encode() + subject.jpegs[number] + f"\r\n--{BOUNDARY}--\r\n".encode()
        return with_head(body, f"multipart/form-data; boundary={BOUNDARY}")

    def raw(number: int) -> bytes:
        return with_head(subject.jpegs[number], "image/jpeg")

    ways: dict[str, Callable[[int], bytes]] = {
        "base64 in JSON": json,
        "multipart/form-data": form,
        "the body itself": raw,
    }
    return {way: [make(n) for n in range(len(subject.jpegs))] for way, make in ways.items()}
