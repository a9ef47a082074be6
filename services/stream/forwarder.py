"""The forwarding loop: scan the logs, send new records, advance the position, or wait."""

import logging
import threading
import time
from functools import partial
from itertools import takewhile

from services.stream import metrics
from services.stream.labels import LabelSource
from services.stream.messages import KINDS, Item, Kind
from services.stream.position import PositionFile
from services.stream.records import RecordSource
from services.stream.sender import BrokersUnreachable, Sender, SendOutcome
from services.stream.settings import Settings

log = logging.getLogger("slipway.stream")
FIRST_RETRY_SECONDS = 1.0
PROBE_SECONDS = 10.0


class Unconfirmed(Exception):
    """Raised when part of a batch was not confirmed; the next round resends it."""


class Forwarder:
    """Forwards both logs. Memory use stays at one batch while the brokers are unreachable.

    Raises:
        Busy: another process forwards the same log.
        ValueError: the settings or the position file are invalid.
        OSError: the disk is full or fails.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.sender = Sender(settings)
        self._file = PositionFile(settings.folder)
        since = settings.since.timestamp() if settings.since else None
        position = self._file.position
        self.sources: tuple[RecordSource | LabelSource, ...] = (
            RecordSource(settings.records, position, since=since),
            LabelSource(settings.records, position, since=since),
        )
        self.fault = "no broker was contacted yet"
        """The reason that nothing is sent; empty while sending works."""
        self._scanned = dict.fromkeys(KINDS, time.time())
        self._probed = 0.0
        # Records per batch; reduced after a batch that was too large for a broker.
        self._batch_records = settings.batch_records
        self._expose()

    def run(self, stopping: threading.Event) -> None:
        """Run rounds until `stopping` is set."""
        wait = FIRST_RETRY_SECONDS
        while not stopping.is_set():
            try:
                busy = self.round(stopping)
                self._report_recovery()
            except Exception as error:  # this thread must survive every error
                self._report_failure(error)
                stopping.wait(wait)
                wait = min(2 * wait, self.settings.retry_seconds)
            else:
                wait = FIRST_RETRY_SECONDS
                if not busy:
                    stopping.wait(self.settings.poll_seconds)
        self.close()

    def round(self, stopping: threading.Event) -> bool:
        """Scan both logs and send a batch of each; return whether there was anything to send.

        Raises:
            Unreachable: no broker responds.
            Unconfirmed: the brokers did not confirm everything.
            OSError, sqlite3.Error: the disk is full or fails.
        """
        busy = False
        for source in self.sources:
            self._scan(source)
        # Saved before waiting for brokers: records deleted meanwhile can then be counted as lost.
        self._file.save()
        for source in self.sources:
            items = source.batch(records=self._batch_records, bytes=self.settings.batch_bytes)
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

    def _scan(self, source: RecordSource | LabelSource) -> None:
        now = time.time()
        self._count_lost(source.kind, "deleted", source.scan())
        self._scanned[source.kind] = now

    def _forward(
        self, source: RecordSource | LabelSource, items: list[Item], stopping: threading.Event
    ) -> None:
        """Send the items, and settle those before the first unconfirmed one.

        Raises:
            Unreachable: no broker responds.
            Unconfirmed: the brokers did not confirm everything.
        """
        messages = [each.message for each in items if each.message]
        sent = iter(self.sender.send(messages, stopping) if messages else ())
        outcomes = [next(sent) if each.message else None for each in items]
        settled = list(
            takewhile(
                lambda pair: pair[1] is None or pair[1].is_final,
                zip(items, outcomes, strict=True),
            )
        )
        for item, outcome in settled:
            self._settle(source, item, outcome)
        self._file.save()
        metrics.SENT.labels(source.kind).inc(sum(each is SendOutcome.SENT for _, each in settled))
        self._adapt(outcomes)
        if len(settled) < len(items) and not stopping.is_set():
            raise Unconfirmed(
                f"{len(items) - len(settled)} of {len(items)} {source.kind} were not confirmed: "
                f"{self.sender.reason}"
            )

    def _settle(
        self, source: RecordSource | LabelSource, item: Item, outcome: SendOutcome | None
    ) -> None:
        source.settle(item)
        if outcome is SendOutcome.TOO_LARGE:
            assert item.message
            message = item.message
            described = f"{message.id} of {message.project}: {len(message.value)} bytes"
            log.error("not sent, too large: %s", described)
            self._count_lost(source.kind, "too_large", 1)
        elif item.damaged:
            log.error("not sent, damaged: segment %s, byte %d", item.segment, item.number)
            self._count_lost(source.kind, "damaged", 1)

    def _adapt(self, outcomes: list[SendOutcome | None]) -> None:
        """Adapt the batch size: sent alone, a message is rejected only for its own size."""
        if SendOutcome.BATCH_TOO_LARGE in outcomes:
            self._batch_records = 1
        else:
            self._batch_records = min(2 * self._batch_records, self.settings.batch_records)

    def _count_lost(self, kind: Kind, reason: str, number: int) -> None:
        if number:
            now = time.time()
            self._file.position.lost[kind] = now
            metrics.LOST.labels(kind, reason).inc(number)
            metrics.LAST_LOST.labels(kind).set(now)

    def _report_recovery(self) -> None:
        if self.fault:
            log.info("sending records to %s", self.settings.brokers)
        self.fault = ""

    def _report_failure(self, error: Exception) -> None:
        metrics.FAILURES.inc()
        expected = isinstance(error, BrokersUnreachable | Unconfirmed)
        fault = str(error) if expected else f"{type(error).__name__}: {error}"
        if fault != self.fault:
            log.warning("nothing is sent: %s", fault, exc_info=None if expected else error)
        self.fault = fault

    def lag(self, source: RecordSource | LabelSource) -> float:
        """Return the lag in seconds: everything written before that time is settled."""
        scanned = self._scanned[source.kind]
        oldest = source.oldest
        return max(0.0, time.time() - (scanned if oldest is None else min(oldest, scanned)))

    def _expose(self) -> None:
        """Connect the metrics to this forwarder."""
        for source in self.sources:
            kind = source.kind
            metrics.SENT.labels(kind)
            for reason in metrics.REASONS:
                metrics.LOST.labels(kind, reason)
            metrics.LAST_LOST.labels(kind).set(self._file.position.lost.get(kind, 0))
            metrics.WAITING.labels(kind).set_function(partial(_waiting, source))
            metrics.OLDEST.labels(kind).set_function(partial(_oldest, source))
            metrics.LAG.labels(kind).set_function(partial(self.lag, source))


def _waiting(source: RecordSource | LabelSource) -> float:
    return source.waiting


def _oldest(source: RecordSource | LabelSource) -> float:
    return source.oldest or 0.0
