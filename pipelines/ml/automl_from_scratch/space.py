"""A search space: settings with a range each, some of them conditional on another setting."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Settings = dict[str, Any]
UNUSED = 0.5
"""The place of a setting that does not exist, so that it adds no distance between points."""


@dataclass(frozen=True)
class Float:
    """A number from `low` to `high`; with `log`, its logarithm is drawn and measured."""

    low: float
    high: float
    log: bool = False
    when: tuple[str, tuple[Any, ...]] | None = None
    """Another setting, and its values with which this one exists."""

    width = 1

    def value(self, place: np.ndarray) -> Any:
        """Return the number at a place (1,) from 0 to 1."""
        low, high = (np.log([self.low, self.high])) if self.log else (self.low, self.high)
        number = low + float(place[0]) * (high - low)
        return float(np.clip(np.exp(number) if self.log else number, self.low, self.high))

    def place(self, value: Any) -> np.ndarray:
        """Return the place (1,) of a number, the inverse of `value`."""
        low, high, at = np.array([self.low, self.high, value], dtype=float)
        if self.log:
            low, high, at = np.log([low, high, at])
        return np.array([(at - low) / (high - low)])


@dataclass(frozen=True)
class Int(Float):
    """A whole number; each has the same share of the range, or of its logarithm with `log`."""

    def value(self, place: np.ndarray) -> Any:
        wide = Float(self.low - 0.5, self.high + 0.5, self.log)
        return int(np.clip(np.round(wide.value(place)), self.low, self.high))

    def place(self, value: Any) -> np.ndarray:
        return Float(self.low - 0.5, self.high + 0.5, self.log).place(value)


@dataclass(frozen=True)
class Choice:
    """One of several values, all at the same distance from each other."""

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
    """Settings by name; one that depends on another comes after it.

    Raises:
        ValueError: a setting depends on one that does not come before it.
    """

    parts: dict[str, Part]

    def __post_init__(self) -> None:
        names = list(self.parts)
        for place, (name, part) in enumerate(self.parts.items()):
            if part.when and part.when[0] not in names[:place]:
                raise ValueError(f"{name} depends on {part.when[0]!r}, which must come before it")

    @property
    def width(self) -> int:
        return sum(part.width for part in self.parts.values())

    def filled(self, value: Callable[[str, Part], Any]) -> Settings:
        """Return the settings that exist, each with the result of `value(name, part)`."""
        settings: Settings = {}
        for name, part in self.parts.items():
            if part.when is None or settings.get(part.when[0]) in part.when[1]:
                settings[name] = value(name, part)
        return settings

    def decode(self, point: np.ndarray) -> Settings:
        """Return the settings that exist at a point (width,) of the unit cube."""
        ends = np.cumsum([part.width for part in self.parts.values()])
        places = dict(zip(self.parts, np.split(point, ends[:-1]), strict=True))
        return self.filled(lambda name, part: part.value(places[name]))

    def encode(self, settings: Settings) -> np.ndarray:
        """Return the point (width,) of settings, `UNUSED` for those that do not exist."""
        return np.concatenate(
            [
                part.place(settings[name]) if name in settings else np.full(part.width, UNUSED)
                for name, part in self.parts.items()
            ]
        )

    def draw(self, rng: np.random.Generator) -> Settings:
        """Return random settings."""
        return self.decode(rng.random(self.width))

    def near(self, settings: Settings, rng: np.random.Generator, step: float) -> Settings:
        """Return a neighbour: some of the places moved by normal noise of deviation `step`."""
        point = self.encode(settings)
        moved = rng.random(self.width) < max(0.3, 1 / self.width)
        noise = rng.normal(0, step, self.width)
        return self.decode(np.clip(point + moved * noise, 0, 1))
