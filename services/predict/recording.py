"""Records every prediction, without any request waiting for it."""

import logging
import re
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from services.predict import metrics
from services.predict.engine import ModelResponse
from services.predict.loaded_model import LoadedModel
from services.predict.metrics import Recorded
from services.predict.settings import Settings
from services.predict.summaries import RequestSummary
from slipway.predictions.record import PURPOSE, line
from slipway.predictions.writer import PredictionLog

PURPOSE_PATTERN = re.compile(PURPOSE)

log = logging.getLogger("slipway.predict")

AS_IT_IS = RequestSummary()


class Recorder:
    """The prediction log of this worker; when it is switched off, it only makes ids."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._log: PredictionLog | None = None
        self._counted = (0, 0)
        self._reported_fault = ""

    def start(self) -> None:
        if self.settings.log:
            self._log = PredictionLog(
                self.settings.records, segment_bytes=self.settings.log_segment_bytes
            )

    def record(
        self,
        model: LoadedModel,
        body: bytes,
        response: ModelResponse,
        seconds: float,
        trace: str | None = None,
        *,
        mirror_of: str | None = None,
        purpose: str | None = None,
    ) -> str:
        """Record the prediction unless the log is down; return its id.

        `mirror_of` is the id of the prediction that a shadow repeats, `purpose` why the request was
        sent, if it is not a caller's own.
        """
        records = self._log
        if records is None:
            return str(uuid4())
        identifier = records.next_id()
        version, summary = model.version, response.summary or AS_IT_IS
        records.append(
            line(
                id=identifier,
                project=model.name,
                version=version.version,
                digest=version.digest,
                variant=model.variant,
                inputs=summary.inputs or body,
                outputs=summary.outputs or response.predictions,
                seconds=seconds,
                trace=trace,
                of=mirror_of,
                purpose=purpose,
                input_bytes=self.settings.log_input_bytes,
                by_column=response.columns is not None,
                inputs_sha256=summary.inputs_sha256,
                features=summary.features,
            )
        )
        return identifier

    def state(self) -> dict[str, Any]:
        """Return the state of the log, for the readiness page."""
        records = self._log
        if records is None:
            return {"on": False}
        state = {"on": True, "written": records.written, "dropped": records.dropped}
        return state if records.healthy else {**state, "fault": records.fault}

    def update_metrics(self) -> None:
        """Count the records written and dropped since the last update."""
        records = self._log
        if records is None:
            return
        written, dropped = records.written, records.dropped + records.lost
        before, self._counted = self._counted, (written, dropped)
        metrics.RECORDS.labels(Recorded.WRITTEN).inc(written - before[0])
        metrics.RECORDS.labels(Recorded.DROPPED).inc(dropped - before[1])

    def log_faults(self) -> None:
        """Log when the prediction log fails and when it works again."""
        fault = self._log.fault if self._log else ""
        if fault and not self._reported_fault:
            log.error("predictions are not recorded: %s", fault)
        elif self._reported_fault and not fault:
            log.info("predictions are recorded again")
        self._reported_fault = fault

    def close(self) -> None:
        if self._log:
            self._log.close()
            self.update_metrics()


def purpose_of(headers: Mapping[bytes, bytes]) -> str | None:
    """Return why the request was sent, by the header `Slipway-Purpose`; None if none is valid."""
    sent = headers.get(b"slipway-purpose")
    if sent is None:
        return None
    text = sent.decode("latin-1")
    return text if PURPOSE_PATTERN.fullmatch(text) else None


def trace_id(traceparent: bytes | None) -> str | None:
    """Return the trace id of a W3C header `00-<32 hex>-<16 hex>-<2 hex>`."""
    if traceparent is None or len(traceparent) != 55:
        return None
    identifier = traceparent[3:35]
    return identifier.decode() if identifier.isalnum() and identifier.isascii() else None
