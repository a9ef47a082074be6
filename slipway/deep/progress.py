"""Lines of progress with an estimate of the time left."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


def spoken(seconds: float) -> str:
    """Return a duration in the unit that fits: `8 s`, `3 min`, `1 h 20 min`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


@dataclass
class Progress:
    """Prints a line per epoch: the last values, and about how long the rest will take.

    `epochs` is the number of epochs of all trainings that are reported to this object; without it,
    the estimate is that of the current training.
    """

    name: str = ""
    epochs: int | None = None
    write: Callable[[str], None] = lambda line: print(line, flush=True)
    _start: float = field(default_factory=time.monotonic)
    _done: int = 0

    def skip(self, epochs: int) -> None:
        """Count epochs that a checkpoint already had, which took no time now."""
        if self.epochs is not None:
            self.epochs -= epochs

    def epoch(self, number: int, of: int, values: Mapping[str, float]) -> None:
        """Report that epoch `number` of `of` is complete, with its values."""
        self._done += 1
        left = self.epochs - self._done if self.epochs is not None else of - number
        seconds = (time.monotonic() - self._start) / self._done * max(left, 0)
        shown = "  ".join(f"{name} {value:.4g}" for name, value in values.items())
        name = f"{self.name}: " if self.name else ""
        rest = f"about {spoken(seconds)} left" if left > 0 else "done"
        self.write(f"{name}epoch {number} of {of}  {shown}  {rest}")
