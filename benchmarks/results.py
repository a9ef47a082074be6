"""The results of a benchmark: every round of every server, and medians over the rounds."""

import statistics
from collections.abc import Callable
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from benchmarks.measure import Measurement, Settings

COMMITTED = Path(__file__).with_name("results.json")


class Spread(BaseModel):
    """Median and range over the rounds."""

    model_config = ConfigDict(extra="forbid")

    median: float
    least: float
    most: float


class Entry(BaseModel):
    model_config = ConfigDict(extra="forbid")

    title: str
    versions: dict[str, str] = {}
    rounds: list[Measurement] = []
    faults: list[str] = []
    """Reasons of rounds without a measurement; there are no rounds if the server never ran."""

    def spread(self, figure: Callable[[Measurement], float | None]) -> Spread | None:
        """Return the spread of a figure; None if no round has it."""
        found = [value for each in self.rounds if (value := figure(each)) is not None]
        if not found:
            return None
        return Spread(median=statistics.median(found), least=min(found), most=max(found))


class Results(BaseModel):
    model_config = ConfigDict(extra="forbid")

    machine: dict[str, str | int | float]
    settings: Settings
    generator: str
    """The generator of the closed loop."""
    raw_rows_per_second: list[float] = []
    servers: dict[str, Entry] = {}

    def write(self, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(_rounded(self).model_dump_json(indent=1) + "\n")


def _rounded(results: Results) -> Results:
    from slipway.training.workspace import rounded

    return Results.model_validate(rounded(results.model_dump(mode="json")))
