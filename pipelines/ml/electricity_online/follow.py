"""Follows events, of a file or a topic, with an online learner: told, watched, then learnt.

An event is a half hour as it ended, which brings the truth of what the one before it was asked; or
a market with its truth, `{"market": {...}, "up": true}`.

State and place in the source lie in one file that is replaced whole. So whatever dies between two
replacements is learnt again from the older state, as if it had not been learnt: no event counts
twice, and none is lost.
"""

import argparse
import json
import logging
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from pydantic import StrictBool

from slipway.contract import Record
from slipway.files import replace_text

from .learner import Learner, named
from .model import Market, features
from .source import Entry, EventFile, Source
from .watch import Watch
from .window import HalfHour, Window

log = logging.getLogger(__name__)
EVERY = 50  # a replacement takes as long as learning some 100 events
Shipped = Callable[[Learner], None]


class Labelled(Record):
    market: Market
    up: StrictBool


@dataclass
class Progress:
    """What a learner knows, and of how much of which source."""

    source: str
    learner: Learner
    place: int = 0
    damaged: int = 0
    """Entries that were no event."""
    missed: int = 0
    """Entries that were deleted before they were read."""
    window: Window = field(default_factory=lambda: Window([]))
    watch: Watch = field(default_factory=Watch)

    @classmethod
    def of(cls, state: Path, source: str) -> "Progress":
        """As it was saved.

        Raises:
            ValueError: it is no such state, or one of another source.
        """
        try:
            known = json.loads(state.read_text())
            known["learner"] = Learner.of(known["learner"])
            known["window"] = Window([HalfHour(**each) for each in known["window"]])
            known["watch"] = Watch.of(known["watch"])
            progress = cls(**known)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"{state} holds no state of a learner ({error!r}): take another"
            ) from error
        if progress.source != source:
            raise ValueError(f"{state} is of {progress.source}, not of {source}: take another")
        return progress

    def save(self, state: Path) -> None:
        told = {
            **vars(self),
            "learner": self.learner.state(),
            "window": [each.model_dump() for each in self.window.past],
            "watch": self.watch.state(),
        }
        replace_text(state, json.dumps(told))

    def take(self, entry: Entry, where: str) -> None:
        """Learn it; what is no event is passed over, counted and named as `where`."""
        if entry.text is None:
            self.missed += entry.after - entry.place
            log.warning(
                "%s to %d: deleted before they were read, %d in all",
                *(where, entry.after - 1, self.missed),
            )
        else:
            try:
                event = read(entry.text)
            except ValueError as error:
                self.damaged += 1
                log.warning("%s: %s; passed over, %d in all", where, error, self.damaged)
            else:
                if isinstance(event, Labelled):
                    self.learn(event.market, event.up, where)
                else:
                    self.gather(event, where)
        self.place = entry.after

    def gather(self, now: HalfHour, where: str) -> None:
        """The truth of the market before, if the half hour follows it."""
        market = self.window.market()
        if not self.window.take(now):
            log.warning("%s: follows no half hour, a day is gathered", where)
        elif market:
            self.learn(market, now.up, where)

    def learn(self, market: Market, up: bool, where: str) -> None:
        (x,) = named(features([market])["numbers"])
        if self.watch.speaks(abs(up - self.learner.predict_proba_one(x)[True])):
            log.warning("%s: the error drifts, %d alarms in all", where, self.watch.alarms)
        self.learner.learn_one(x, up)


def read(text: bytes) -> Labelled | HalfHour:
    """
    Raises:
        ValueError: it is no event, with what it lacks in one line.
    """
    try:
        told = json.loads(text)
        return Labelled.model_validate(told) if "market" in told else HalfHour.model_validate(told)
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"no labelled event: {' '.join(repr(error).split())}") from error


def begun(file: Path) -> Learner:
    """The learner whose state was shipped as `file`, with its rate.

    Raises:
        ValueError: it is no such state.
    """
    try:
        return Learner.of(json.loads(file.read_text()))
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{file} holds no learner ({error!r})") from error


def follow(
    source: Source,
    state: Path,
    *,
    learner: Learner,
    every: int = EVERY,
    stay: bool = False,
    ship: Shipped | None = None,
) -> Progress:
    """Learn what was added to `source` since `state`, which is replaced after `every` events and
    when there are no more. Then it ends, or if it is to stay waits for those that come.

    `learner` is gone on from while there is no state. `ship` is called with it after each
    replacement, and first of all: who died between the two left older weights.

    Raises:
        ValueError: `state` is not of `source`.
    """
    progress = Progress.of(state, source.name) if state.exists() else Progress(source.name, learner)
    if ship:
        ship(progress.learner)
    unsaved = 0
    with closing(source.entries(progress.place)) as entries:
        for entry in entries:
            if entry is not None:
                progress.take(entry, f"{source.name}, {source.unit} {entry.place}")
                unsaved += 1
            if unsaved == every or (unsaved and entry is None):
                progress.save(state)
                if ship:
                    ship(progress.learner)
                unsaved = 0
            if entry is None and not stay:
                break
    return progress


def asked(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Learn half hours as they end.")
    parser.add_argument("--state", type=Path, required=True, help="the file that it goes on from")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--file", type=Path, help="of events, one a line")
    where.add_argument("--topic", help="of events, one a message")
    parser.add_argument("--brokers", default="127.0.0.1:9092", help="HOST:PORT[,HOST:PORT...]")
    parser.add_argument("--partition", type=int, default=0)
    parser.add_argument("--stay", action="store_true", help="wait for the events to come")
    begin = parser.add_mutually_exclusive_group()
    begin.add_argument(
        "--from", type=Path, dest="shipped", help="a learner.json: weights and rate to begin with"
    )
    begin.add_argument("--rate", type=float, default=0.01, help="of a learner that knows nothing")
    parser.add_argument("--weights", type=Path, help="a folder: model.onnx at each save")
    return parser.parse_args(words)


def main(words: list[str]) -> None:
    logging.basicConfig(format="%(levelname)s %(message)s")
    told = asked(words)
    source: Source
    if told.topic:
        # The client comes with the group `stream`, which a file needs not.
        from .topic import Topic

        source = Topic(told.brokers, told.topic, told.partition)
    else:
        source = EventFile(told.file)
    ship = None
    if told.weights:
        # Neither scikit-learn nor its converter is needed to follow.
        from .export import export

        ship = partial(export, weights=told.weights)
    learner = begun(told.shipped) if told.shipped else Learner(told.rate)
    found = follow(source, told.state, learner=learner, stay=told.stay, ship=ship)
    learnt, alarms = found.learner.state()["learnt"], found.watch.alarms
    print(
        f"{source.name}: {learnt} learnt, {found.damaged} damaged, {found.missed} missed, "
        f"{alarms} alarms"
    )


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except (OSError, ValueError) as error:
        sys.exit(str(error))
