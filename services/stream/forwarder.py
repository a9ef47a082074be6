"""One round after another: look, send what is new, move the position on, or wait."""

import logging
import threading
import time
from functools import partial
from itertools import takewhile

from services.stream import metrics
from services.stream.messages import KINDS, Item, Kind
from services.stream.position import PositionFile
from services.stream.records import RecordSource
from services.stream.sender import Outcome, Sender, Unreachable
from services.stream.settings import Settings
from services.stream.truths import TruthSource

log = logging.getLogger("slipway.stream")
FIRST_RETRY_SECONDS = 1.0
PROBE_SECONDS = 10.0


class Unconfirmed(Exception):
    """Some of a batch were not confirmed; the next round reads and sends them again."""


class Forwarder:
    """Follows both logs. What a batch takes of memory does not grow while brokers are away.

    Raises:
        Busy: another process sends the same log.
        ValueError: the settings or the position fall short.
        OSError: the disk is full, dead or refuses.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.sender = Sender(settings)
        self._file = PositionFile(settings.folder)
        since = settings.since.timestamp() if settings.since else None
        position = self._file.position
        self.sources: tuple[RecordSource | TruthSource, ...] = (
            RecordSource(settings.records, position, since=since),
            TruthSource(settings.records, position, since=since),
        )
        self.fault = "no broker was asked yet"
        """Why nothing is sent; empty when all is well."""
        self._looked = dict.fromkeys(KINDS, time.time())
        self._probed = 0.0
        # Fewer after a batch that a broker found too large, until it passes.
        self._records = settings.batch_records
        self._expose()

    def run(self, stopping: threading.Event) -> None:
        """Until it is told to stop."""
        wait = FIRST_RETRY_SECONDS
        while not stopping.is_set():
            try:
                busy = self.round(stopping)
                self._well()
            except Exception as error:  # this thread must live on, whatever it meets
                self._ill(error)
                stopping.wait(wait)
                wait = min(2 * wait, self.settings.retry_seconds)
            else:
                wait = FIRST_RETRY_SECONDS
                if not busy:
                    stopping.wait(self.settings.poll_seconds)
        self.close()

    def round(self, stopping: threading.Event) -> bool:
        """Look at both logs and send a batch of each; whether there was any.

        Raises:
            Unreachable: no broker answers.
            Unconfirmed: brokers did not confirm everything.
            OSError, sqlite3.Error: the disk is full, dead or refuses.
        """
        busy = False
        for source in self.sources:
            self._look(source)
        # Known on disk before it is waited for brokers: what goes meanwhile is counted.
        self._file.save()
        for source in self.sources:
            items = source.batch(records=self._records, bytes=self.settings.batch_bytes)
            if items:
                self._forward(source, items, stopping)
                busy = True
        if busy:
            self._probed = time.monotonic()
        elif time.monotonic() > self._probed + PROBE_SECONDS:
            self.sender.probe()
            self._probed = time.monotonic()
        return busy

    def close(self) -> None:
        self.sender.close()
        self._file.close()

    def _look(self, source: RecordSource | TruthSource) -> None:
        now = time.time()
        self._lose(source.kind, "deleted", source.look())
        self._looked[source.kind] = now

    def _forward(
        self, source: RecordSource | TruthSource, items: list[Item], stopping: threading.Event
    ) -> None:
        """Send them, and settle those before the first that was not confirmed.

        Raises:
            Unreachable: no broker answers.
            Unconfirmed: brokers did not confirm everything.
        """
        messages = [each.message for each in items if each.message]
        answers = iter(self.sender.send(messages, stopping) if messages else ())
        outcomes = [next(answers) if each.message else None for each in items]
        settled = list(
            takewhile(
                lambda pair: pair[1] is None or pair[1].is_final,
                zip(items, outcomes, strict=True),
            )
        )
        for item, outcome in settled:
            self._settle(source, item, outcome)
        self._file.save()
        metrics.SENT.labels(source.kind).inc(sum(each is Outcome.SENT for _, each in settled))
        self._adapt(outcomes)
        if len(settled) < len(items) and not stopping.is_set():
            raise Unconfirmed(
                f"{len(items) - len(settled)} of {len(items)} {source.kind} were not confirmed: "
                f"{self.sender.reason}"
            )

    def _settle(
        self, source: RecordSource | TruthSource, item: Item, outcome: Outcome | None
    ) -> None:
        source.settle(item)
        if outcome is Outcome.TOO_LARGE:
            assert item.message
            told = f"{item.message.id} of {item.message.project}: {len(item.message.value)} bytes"
            log.error("not sent, too large: %s", told)
            self._lose(source.kind, "too_large", 1)
        elif item.damaged:
            log.error("not sent, damaged: segment %s, byte %d", item.place, item.number)
            self._lose(source.kind, "damaged", 1)

    def _adapt(self, outcomes: list[Outcome | None]) -> None:
        """Alone, a message is refused for its own size and not for that of its batch."""
        if Outcome.TOGETHER in outcomes:
            self._records = 1
        else:
            self._records = min(2 * self._records, self.settings.batch_records)

    def _lose(self, kind: Kind, reason: str, number: int) -> None:
        if number:
            now = time.time()
            self._file.position.lost[kind] = now
            metrics.LOST.labels(kind, reason).inc(number)
            metrics.LAST_LOST.labels(kind).set(now)

    def _well(self) -> None:
        if self.fault:
            log.info("records go to %s", self.settings.brokers)
        self.fault = ""

    def _ill(self, error: Exception) -> None:
        metrics.FAILURES.inc()
        expected = isinstance(error, Unreachable | Unconfirmed)
        fault = str(error) if expected else f"{type(error).__name__}: {error}"
        if fault != self.fault:
            log.warning("nothing is sent: %s", fault, exc_info=None if expected else error)
        self.fault = fault

    def lag(self, source: RecordSource | TruthSource) -> float:
        """Seconds; everything that was written before is settled."""
        looked = self._looked[source.kind]
        oldest = source.oldest
        return max(0.0, time.time() - (looked if oldest is None else min(oldest, looked)))

    def _expose(self) -> None:
        """From here on metrics tell of this forwarder."""
        for source in self.sources:
            kind = source.kind
            metrics.SENT.labels(kind)
            for reason in metrics.REASONS:
                metrics.LOST.labels(kind, reason)
            metrics.LAST_LOST.labels(kind).set(self._file.position.lost.get(kind, 0))
            metrics.WAITING.labels(kind).set_function(partial(_waiting, source))
            metrics.OLDEST.labels(kind).set_function(partial(_oldest, source))
            metrics.LAG.labels(kind).set_function(partial(self.lag, source))


def _waiting(source: RecordSource | TruthSource) -> float:
    return source.waiting


def _oldest(source: RecordSource | TruthSource) -> float:
    return source.oldest or 0.0
