"""Follow the events of a file or a topic with an online learner.

For each event the learner predicts, the error is monitored, and then the learner learns. An event
is either a half hour at its end, which has the label of the market before it, or a market with its
label, `{"market": {...}, "up": true}`.

The state and the position in the source are in one file that is replaced atomically. If the process
dies between two replacements, it continues from the older state and learns the events since then
again. So no event is learnt twice, and none is lost.
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

from .learner import Learner, to_dicts
from .model import Market, features
from .source import Entry, EventFile, Source
from .watch import Watch
from .window import HalfHour, Window

log = logging.getLogger(__name__)
EVERY = 50  # replacing the file takes as long as learning about 100 events
Export = Callable[[Learner], None]


class Labelled(Record):
    """An event with a market and its label."""

    market: Market
    up: StrictBool


@dataclass
class Progress:
    """A learner with its position in a source."""

    source: str
    learner: Learner
    place: int = 0
    damaged: int = 0
    """Entries that were not an event."""
    missed: int = 0
    """Entries that were deleted before they were read."""
    window: Window = field(default_factory=lambda: Window([]))
    watch: Watch = field(default_factory=Watch)

    @classmethod
    def load(cls, state: Path, source: str) -> "Progress":
        """Read what `save` wrote.

        Raises:
            ValueError: the file holds no such state, or that of another source.
        """
        try:
            known = json.loads(state.read_text())
            known["learner"] = Learner.from_state(known["learner"])
            known["window"] = Window([HalfHour(**each) for each in known["window"]])
            known["watch"] = Watch.from_state(known["watch"])
            progress = cls(**known)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"{state} holds no state of a learner ({error!r}); choose another file"
            ) from error
        if progress.source != source:
            raise ValueError(
                f"{state} is the state of {progress.source}, not of {source}; choose another file"
            )
        return progress

    def save(self, state: Path) -> None:
        """Replace the file `state` atomically."""
        content = {
            **vars(self),
            "learner": self.learner.state(),
            "window": [each.model_dump() for each in self.window.past],
            "watch": self.watch.state(),
        }
        replace_text(state, json.dumps(content))

    def process(self, entry: Entry, where: str) -> None:
        """Learn from an entry; one that is not an event is skipped, counted and logged."""
        if entry.text is None:
            self.missed += entry.after - entry.place
            log.warning(
                "%s to %d: deleted before they were read, %d in total",
                *(where, entry.after - 1, self.missed),
            )
        else:
            try:
                event = parse(entry.text)
            except ValueError as error:
                self.damaged += 1
                log.warning("%s: %s; skipped, %d in total", where, error, self.damaged)
            else:
                if isinstance(event, Labelled):
                    self.learn(event.market, event.up, where)
                else:
                    self.add_half_hour(event, where)
        self.place = entry.after

    def add_half_hour(self, now: HalfHour, where: str) -> None:
        """Add a half hour to the window, and learn the market before it if there is no gap."""
        market = self.window.market()
        if not self.window.append(now):
            log.warning("%s: gap before this half hour, collecting a new day", where)
        elif market:
            self.learn(market, now.up, where)

    def learn(self, market: Market, up: bool, where: str) -> None:
        """Predict a market, monitor the error, then learn."""
        (x,) = to_dicts(features([market])["numbers"])
        if self.watch.detects_drift(abs(up - self.learner.predict_proba_one(x)[True])):
            log.warning("%s: the error drifts, %d alarms in total", where, self.watch.alarms)
        self.learner.learn_one(x, up)


def parse(text: bytes) -> Labelled | HalfHour:
    """Parse an event.

    Raises:
        ValueError: it is not an event; the message has the reason in one line.
    """
    try:
        event = json.loads(text)
        if "market" in event:
            return Labelled.model_validate(event)
        return HalfHour.model_validate(event)
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"not a labelled event: {' '.join(repr(error).split())}") from error


def load_learner(file: Path) -> Learner:
    """Read an exported learner.json, with its rate.

    Raises:
        ValueError: the file holds no learner.
    """
    try:
        return Learner.from_state(json.loads(file.read_text()))
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{file} holds no learner ({error!r})") from error


def follow(
    source: Source,
    state: Path,
    *,
    learner: Learner,
    every: int = EVERY,
    stay: bool = False,
    export: Export | None = None,
) -> Progress:
    """Learn what was added to `source` since `state`.

    The file `state` is replaced after every `every` events, and when there are no more. Then the
    function returns, or waits for more events if `stay`. Without a file it starts with `learner`.
    `export` is called with the learner after each replacement, and once at the start: the process
    may have died between replacing the state and the export.

    Raises:
        ValueError: `state` belongs to another source.
    """
    progress = Progress(source.name, learner)
    if state.exists():
        progress = Progress.load(state, source.name)
    if export:
        export(progress.learner)
    unsaved = 0
    with closing(source.entries(progress.place)) as entries:
        for entry in entries:
            if entry is not None:
                progress.process(entry, f"{source.name}, {source.unit} {entry.place}")
                unsaved += 1
            if unsaved == every or (unsaved and entry is None):
                progress.save(state)
                if export:
                    export(progress.learner)
                unsaved = 0
            if entry is None and not stay:
                break
    return progress


def parse_arguments(words: list[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description="Learn from half hours as they end.")
    parser.add_argument("--state", type=Path, required=True, help="the file to continue from")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--file", type=Path, help="a file of events, one per line")
    where.add_argument("--topic", help="a Kafka topic of events, one per message")
    parser.add_argument("--brokers", default="127.0.0.1:9092", help="HOST:PORT[,HOST:PORT...]")
    parser.add_argument("--partition", type=int, default=0)
    parser.add_argument("--stay", action="store_true", help="wait for further events")
    begin = parser.add_mutually_exclusive_group()
    begin.add_argument(
        "--from", type=Path, dest="shipped", help="a learner.json to start with (weights and rate)"
    )
    begin.add_argument("--rate", type=float, default=0.01, help="learning rate of a new learner")
    parser.add_argument(
        "--weights", type=Path, help="a folder for model.onnx and learner.json at each save"
    )
    return parser.parse_args(words)


def main(words: list[str]) -> None:
    logging.basicConfig(format="%(levelname)s %(message)s")
    arguments = parse_arguments(words)
    source: Source
    if arguments.topic:
        # Imported here, since only a topic needs the Kafka client of the group `stream`.
        from .topic import Topic

        source = Topic(arguments.brokers, arguments.topic, arguments.partition)
    else:
        source = EventFile(arguments.file)
    export = None
    if arguments.weights:
        # Imported here, since only the export needs scikit-learn and its converter.
        from . import export as exporting

        export = partial(exporting.export, weights=arguments.weights)
    learner = load_learner(arguments.shipped) if arguments.shipped else Learner(arguments.rate)
    progress = follow(source, arguments.state, learner=learner, stay=arguments.stay, export=export)
    learnt, alarms = progress.learner.state()["learnt"], progress.watch.alarms
    print(
        f"{source.name}: {learnt} learnt, {progress.damaged} damaged, {progress.missed} missed, "
        f"{alarms} alarms"
    )


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except (OSError, ValueError) as error:
        sys.exit(str(error))
