"""Every answer on record, without any request waiting for it."""

import logging
from typing import Any
from uuid import uuid4

from services.predict import metrics
from services.predict.engine import Answered
from services.predict.metrics import Recorded
from services.predict.settings import Settings
from services.predict.unit import Unit
from slipway.predictions.record import line
from slipway.predictions.writer import PredictionLog

log = logging.getLogger("slipway.predict")


class Recorder:
    """The prediction log of this worker; when it is switched off, ids and nothing else."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._log: PredictionLog | None = None
        self._counted = (0, 0)
        self._said = ""

    def start(self) -> None:
        if self.settings.log:
            self._log = PredictionLog(
                self.settings.records, segment_bytes=self.settings.log_segment_bytes
            )

    def record(
        self,
        unit: Unit,
        body: bytes,
        answered: Answered,
        seconds: float,
        trace: str | None = None,
        *,
        of: str | None = None,
    ) -> str:
        """The id of the prediction, which is on record now unless the log is down."""
        records = self._log
        if records is None:
            return str(uuid4())
        identifier = records.next_id()
        version = unit.version
        records.append(
            line(
                id=identifier,
                project=unit.name,
                version=version.version,
                digest=version.digest,
                variant=unit.variant,
                inputs=body,
                outputs=answered.predictions,
                seconds=seconds,
                trace=trace,
                of=of,
                input_bytes=self.settings.log_input_bytes,
                by_column=answered.by_column,
            )
        )
        return identifier

    def state(self) -> dict[str, Any]:
        """For the readiness page."""
        records = self._log
        if records is None:
            return {"on": False}
        told = {"on": True, "written": records.written, "dropped": records.dropped}
        return told if records.healthy else {**told, "fault": records.fault}

    def count(self) -> None:
        """Bring the metrics up to date."""
        records = self._log
        if records is None:
            return
        written, dropped = records.written, records.dropped + records.lost
        before, self._counted = self._counted, (written, dropped)
        metrics.RECORDS.labels(Recorded.WRITTEN).inc(written - before[0])
        metrics.RECORDS.labels(Recorded.DROPPED).inc(dropped - before[1])

    def watch(self) -> None:
        """Tell of a fault when it comes and when it goes."""
        fault = self._log.fault if self._log else ""
        if fault and not self._said:
            log.error("predictions are not recorded: %s", fault)
        elif self._said and not fault:
            log.info("predictions are recorded again")
        self._said = fault

    def close(self) -> None:
        if self._log:
            self._log.close()
            self.count()


def trace_id(traceparent: bytes | None) -> str | None:
    """From the W3C header `00-<32 hex>-<16 hex>-<2 hex>`."""
    if traceparent is None or len(traceparent) != 55:
        return None
    found = traceparent[3:35]
    return found.decode() if found.isalnum() and found.isascii() else None
