"""A web server that receives alerts."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from slipway import home


class Receiver:
    """Stores posted bodies by path, while `status` is a success."""

    def __init__(self) -> None:
        self.got: list[tuple[str, Any]] = []
        self.status = 202
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if outer.status < 300:
                    outer.got.append((self.path, json.loads(body)))
                self.send_response(outer.status)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer((home.LOOPBACK, 0), Handler)
        self.port = self._server.server_port

    @property
    def address(self) -> str:
        return f"http://{home.LOOPBACK}:{self.port}/v1/alerts"

    @property
    def notices(self) -> list[dict[str, Any]]:
        return [body for _, body in self.got]

    def alerts(self, path: str) -> list[dict[str, Any]]:
        return [alert for at, body in self.got if at == path for alert in body["alerts"]]

    @contextmanager
    def listening(self) -> Iterator["Receiver"]:
        thread = Thread(target=self._server.serve_forever, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()
