"""A search space: settings with a range each, some of which only exist where another says so."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Settings = dict[str, Any]
UNUSED = 0.5
"""Where a setting that does not exist lies: points that differ in it alone lie together."""


@dataclass(frozen=True)
class Float:
    """A number from `low` to `high`; of `log` the logarithm is drawn and measured."""

    low: float
    high: float
    log: bool = False
    when: tuple[str, tuple[Any, ...]] | None = None
    """Another setting, and the values of it with which this one exists."""

    width = 1

    def value(self, place: np.ndarray) -> Any:
        """Of a place (1,) from 0 to 1."""
        low, high = (np.log([self.low, self.high])) if self.log else (self.low, self.high)
        found = low + float(place[0]) * (high - low)
        return float(np.clip(np.exp(found) if self.log else found, self.low, self.high))

    def place(self, value: Any) -> np.ndarray:
        low, high, at = np.array([self.low, self.high, value], dtype=float)
        if self.log:
            low, high, at = np.log([low, high, at])
        return np.array([(at - low) / (high - low)])


@dataclass(frozen=True)
class Int(Float):
    """A whole number; each has the same share of the range, of `log` by its logarithm."""

    def value(self, place: np.ndarray) -> Any:
        wide = Float(self.low - 0.5, self.high + 0.5, self.log)
        return int(np.clip(np.round(wide.value(place)), self.low, self.high))

    def place(self, value: Any) -> np.ndarray:
        return Float(self.low - 0.5, self.high + 0.5, self.log).place(value)


@dataclass(frozen=True)
class Choice:
    """One of some values, none nearer to one than to another."""

    values: tuple[Any, ...]
    when: tuple[str, tuple[Any, ...]] | None = None

    @property
    def width(self) -> int:
        return len(self.values)

    def value(self, place: np.ndarray) -> Any:
        return self.values[int(np.argmax(place))]

    def place(self, value: Any) -> np.ndarray:
        return np.array([float(value == each) for each in self.values])


Part = Float | Int | Choice


@dataclass(frozen=True)
class Space:
    """Settings by name; one that depends on another stands after it."""

    parts: dict[str, Part]

    def __post_init__(self) -> None:
        names = list(self.parts)
        for place, (name, part) in enumerate(self.parts.items()):
            if part.when and part.when[0] not in names[:place]:
                raise ValueError(f"{name} depends on {part.when[0]!r}, which does not stand before")

    @property
    def width(self) -> int:
        return sum(part.width for part in self.parts.values())

    def filled(self, value: Callable[[str, Part], Any]) -> Settings:
        """The settings that exist, each with the value that is given for its name and part."""
        found: Settings = {}
        for name, part in self.parts.items():
            if part.when is None or found.get(part.when[0]) in part.when[1]:
                found[name] = value(name, part)
        return found

    def decode(self, point: np.ndarray) -> Settings:
        """The settings that exist at a point (width,) of the unit cube."""
        ends = np.cumsum([part.width for part in self.parts.values()])
        places = dict(zip(self.parts, np.split(point, ends[:-1]), strict=True))
        return self.filled(lambda name, part: part.value(places[name]))

    def encode(self, settings: Settings) -> np.ndarray:
        """Where settings lie (width,), `UNUSED` for those that do not exist."""
        return np.concatenate(
            [
                part.place(settings[name]) if name in settings else np.full(part.width, UNUSED)
                for name, part in self.parts.items()
            ]
        )

    def draw(self, rng: np.random.Generator) -> Settings:
        return self.decode(rng.random(self.width))

    def near(self, settings: Settings, rng: np.random.Generator, step: float) -> Settings:
        """A neighbour: some of the places moved by `step` or so."""
        point = self.encode(settings)
        moved = rng.random(self.width) < max(0.3, 1 / self.width)
        noise = rng.normal(0, step, self.width)
        return self.decode(np.clip(point + moved * noise, 0, 1))
