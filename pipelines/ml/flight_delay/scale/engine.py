"""One engine in a process of its own, which writes how far it came.

    python -m pipelines.ml.flight_delay.scale.engine NAME FLIGHTS PREPARED RESULT OPTIONS

`OPTIONS` is JSON. `RESULT` is a file that is written again at each step, so that it tells the last
one of a process that was ended for its memory.
"""

import importlib
import json
import sys
import time
from pathlib import Path
from typing import Any


class Result:
    """The file of a run: its current `step`, the seconds of those before, and its figures."""

    def __init__(self, file: Path) -> None:
        self.file, self.began = file, time.perf_counter()
        self.content: dict[str, Any] = {"steps": {}}

    def __call__(self, step: str | None = None, **figures: Any) -> None:
        """End the current step if another one begins; keep the figures."""
        self.content |= figures
        if step is not None:
            now = time.perf_counter()
            if "step" in self.content:
                self.content["steps"][self.content["step"]] = now - self.began
            self.content["step"], self.began = step, now
        self.file.write_text(json.dumps(self.content))


def main() -> None:
    name, flights, prepared, file, options = sys.argv[1:]
    report = Result(Path(file))
    if name == "skew":
        from .skew import join

        report("joining")
        report("ended", **join(Path(flights), **json.loads(options)))
        return
    run = importlib.import_module(f"{__package__}.with_{name}").run
    learned = run(Path(flights), Path(prepared), report, **json.loads(options))
    report("ended", **learned)


if __name__ == "__main__":
    main()
