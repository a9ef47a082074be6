"""OpenTelemetry traces of predictions, when an endpoint to send them to is set."""

import time
from typing import TYPE_CHECKING

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, format_trace_id
from opentelemetry.trace.propagation import set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from services.predict.engine import Answered

if TYPE_CHECKING:
    from services.predict.unit import Unit


class Tracer:
    """A span for each answer, with its validation and inference below it.

    They are made when the answer is there, from the times that were measured anyway, and sent in
    batches by a thread.
    """

    def __init__(self, endpoint: str) -> None:
        resource = Resource.create({"service.name": "slipway-predict"})
        self._provider = TracerProvider(resource=resource)
        exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces")
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("slipway")
        self._propagator = TraceContextTextMapPropagator()

    def answered(
        self, unit: "Unit", traceparent: bytes | None, answered: Answered, seconds: float
    ) -> str:
        """The trace's id: the caller's, or a new one."""
        end = time.time_ns()
        start = end - int(seconds * 1e9)
        carrier = {"traceparent": traceparent.decode("latin-1")} if traceparent else {}
        span = self._tracer.start_span(
            f"predict {unit.name}",
            context=self._propagator.extract(carrier),
            kind=SpanKind.SERVER,
            start_time=start,
            attributes={
                "slipway.project": unit.name,
                "slipway.version": unit.version.version,
                "slipway.variant": unit.variant,
                "slipway.rows": answered.rows,
            },
        )
        below = set_span_in_context(span)
        infer = end - int(answered.infer_seconds * 1e9)
        validate = infer - int(answered.validate_seconds * 1e9)
        for name, begun, ended in (("validate", validate, infer), ("infer", infer, end)):
            self._tracer.start_span(name, context=below, start_time=max(begun, start)).end(ended)
        span.end(end)
        return format_trace_id(span.get_span_context().trace_id)

    def close(self) -> None:
        """Send what waits."""
        self._provider.shutdown()
