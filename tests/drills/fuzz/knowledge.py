"""Facts for valid requests: names, records, a key, and ids in earlier responses."""

import threading
from dataclasses import dataclass, field
from typing import Any

from tests.drills.fuzz.request import Answer
from tests.drills.fuzz.routes import Known
from tests.drills.fuzz.tensors import Tensor

# The ids that are kept of each kind.
NEWEST = 50


@dataclass
class Knowledge:
    """The facts about one service; its responses add ids."""

    known: Known
    records: dict[str, list[Any]] = field(default_factory=dict)
    """Valid records by model."""
    tensors: dict[str, list[Tensor]] = field(default_factory=dict)
    """The same as tensors."""
    key: str = ""
    """An API key of every scope."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def learn(self, route: str, answer: Answer) -> None:
        """Keep the ids in a successful response."""
        if not isinstance(answer.status, int) or answer.status >= 300:
            return
        with self._lock:
            if place := answer.headers.get("location"):
                *_, kind, identifier = ["", *place.split("/")]
                self._keep(kind, identifier)
            if isinstance(answer.value, dict):
                for name, each in answer.value.items():
                    if name == "id" and isinstance(each, str) and "predictions" in answer.value:
                        self._keep("id", each)
                    elif isinstance(each, list) and each and isinstance(each[0], str):
                        self._keep(name, each[0])

    def _keep(self, kind: str, value: str) -> None:
        values = self.known.setdefault(kind, [])
        if value not in values:
            values.append(value)
            del values[:-NEWEST]
