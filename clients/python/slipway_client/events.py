"""Server-sent events, read line by line."""

from __future__ import annotations

import json
from typing import Any

from .errors import refusal


class EventReader:
    """Collects the lines of a stream into events."""

    def __init__(self) -> None:
        self._name, self._data = "message", list[str]()

    def feed(self, line: str) -> tuple[str, Any] | None:
        """Take a line without its end; return the event's name and its JSON when it is complete.

        Raises:
            Refused: the event is an error, which ends the stream.
        """
        if line:
            name, _, value = line.partition(":")
            value = value[1:] if value.startswith(" ") else value
            if name == "event":
                self._name = value
            elif name == "data":
                self._data.append(value)
            return None
        name, data = self._name, self._data
        self._name, self._data = "message", []
        if not data:
            return None
        content = json.loads("\n".join(data))
        if name == "error":
            raise refusal(int(content.get("status", 500)), content)
        return name, content
