"""Follows labelled events, of a file or a topic, with an online learner.

State and place in the source lie in one file that is replaced whole. So whatever dies between two
replacements is learnt again from the older state, as if it had not been learnt: no event counts
twice, and none is lost.
"""

import argparse
import json
import logging
import sys
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from slipway.files import replace_text

from .learner import Learner, named
from .model import Market, features
from .source import Entry, EventFile, Source

log = logging.getLogger(__name__)
EVERY = 50  # a replacement takes as long as learning some 100 events


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

    @classmethod
    def of(cls, state: Path, source: str) -> "Progress":
        """As it was saved.

        Raises:
            ValueError: it is no such state, or one of another source.
        """
        try:
            known = json.loads(state.read_text())
            progress = cls(**{**known, "learner": Learner.of(known["learner"])})
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"{state} holds no state of a learner ({error!r}): take another"
            ) from error
        if progress.source != source:
            raise ValueError(f"{state} is of {progress.source}, not of {source}: take another")
        return progress

    def save(self, state: Path) -> None:
        told = {**vars(self), "learner": self.learner.state()}
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
                market, up = labelled(entry.text)
            except ValueError as error:
                self.damaged += 1
                log.warning("%s: %s; passed over, %d in all", where, error, self.damaged)
            else:
                self.learner.learn_one(named(features([market])["numbers"])[0], up)
        self.place = entry.after


def labelled(text: bytes) -> tuple[Market, bool]:
    """Of {"market": {...}, "up": true}.

    Raises:
        ValueError: it is no such event, with what it lacks in one line.
    """
    try:
        event = json.loads(text)
        market, up = Market.model_validate(event["market"]), event["up"]
        if not isinstance(up, bool):
            raise ValueError(f"up must be true or false, got {up!r}")
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"no labelled event: {' '.join(repr(error).split())}") from error
    return market, up


def follow(
    source: Source, state: Path, *, rate: float, every: int = EVERY, stay: bool = False
) -> Progress:
    """Learn what was added to `source` since `state`, which is replaced after `every` events and
    when there are no more. Then it ends, or if it is to stay waits for those that come.

    Raises:
        ValueError: `state` is not of `source`.
    """
    progress = (
        Progress.of(state, source.name) if state.exists() else Progress(source.name, Learner(rate))
    )
    unsaved = 0
    with closing(source.entries(progress.place)) as entries:
        for entry in entries:
            if entry is not None:
                progress.take(entry, f"{source.name}, {source.unit} {entry.place}")
                unsaved += 1
            if unsaved == every or (unsaved and entry is None):
                progress.save(state)
                unsaved = 0
            if entry is None and not stay:
                break
    return progress


def asked(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Learn labelled events as they come.")
    parser.add_argument("--state", type=Path, required=True, help="the file that it goes on from")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--file", type=Path, help="of events, one a line")
    where.add_argument("--topic", help="of events, one a message")
    parser.add_argument("--brokers", default="127.0.0.1:9092", help="HOST:PORT[,HOST:PORT...]")
    parser.add_argument("--partition", type=int, default=0)
    parser.add_argument("--stay", action="store_true", help="wait for the events to come")
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
    found = follow(source, told.state, rate=0.01, stay=told.stay)
    learnt = found.learner.state()["learnt"]
    print(f"{source.name}: {learnt} learnt, {found.damaged} damaged, {found.missed} missed")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except (OSError, ValueError) as error:
        sys.exit(str(error))
