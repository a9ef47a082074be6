"""An HTTP server that gives scripted responses, for what a real server does only under load."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from slipway import home

SCHEMA = {
    "name": "toy",
    "version": "3",
    "question": "Is it?",
    "input": {
        "type": "object",
        "additionalProperties": False,
        "required": ["number"],
        "properties": {"number": {"type": "number"}},
    },
    "output": {"type": "object", "properties": {"text": {"type": "string"}}},
    "chunk": {"type": "object", "properties": {"text": {"type": "string"}}},
    "streams": True,
    "explains": False,
    "examples": [],
}


class Scripted:
    """The responses to come, and the requests that came."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.responses: list[tuple[int, dict[str, str], bytes]] = []
        self.requests: list[tuple[str, str, dict[str, str]]] = []

    def then(self, status: int, content: Any = None, **headers: str) -> None:
        """Add a response; its content is JSON, or bytes as they are."""
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.responses.append((status, named, body))


@contextmanager
def scripted() -> Iterator[Scripted]:
    """Run the server until the block ends; it always knows the schema of `toy`."""

    class Handler(BaseHTTPRequestHandler):
        def respond(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if self.path.endswith("/schema"):
                status, headers, body = 200, {}, json.dumps(SCHEMA).encode()
            else:
                script.requests.append((self.command, self.path, dict(self.headers)))
                status, headers, body = script.responses.pop(0)
            self.send_response(status)
            for name, value in {"content-length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_DELETE = respond

        def log_message(self, *_: object) -> None:
            pass

    listening = ThreadingHTTPServer((home.LOOPBACK, 0), Handler)
    script = Scripted(f"http://{home.LOOPBACK}:{listening.server_port}")
    thread = threading.Thread(target=listening.serve_forever)
    thread.start()
    try:
        yield script
    finally:
        listening.shutdown()
        thread.join()
        listening.server_close()
