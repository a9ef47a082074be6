"""Sends OpenTelemetry traces of predictions to an OTLP endpoint, if one is configured."""

import time
from typing import TYPE_CHECKING

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, format_trace_id
from opentelemetry.trace.propagation import set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from services.predict.engine import ModelResponse

if TYPE_CHECKING:
    from services.predict.loaded_model import LoadedModel


class Tracer:
    """Records one span per prediction request, with child spans for validation and inference.

    The spans are created after the response is ready, from durations that were measured anyway,
    and a thread sends them in batches.
    """

    def __init__(self, endpoint: str) -> None:
        resource = Resource.create({"service.name": "slipway-predict"})
        self._provider = TracerProvider(resource=resource)
        exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces")
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("slipway")
        self._propagator = TraceContextTextMapPropagator()

    def record(
        self,
        model: "LoadedModel",
        traceparent: bytes | None,
        response: ModelResponse,
        seconds: float,
    ) -> str:
        """Record the spans of one request; return the trace id, the caller's or a new one."""
        end = time.time_ns()
        start = end - int(seconds * 1e9)
        carrier = {"traceparent": traceparent.decode("latin-1")} if traceparent else {}
        span = self._tracer.start_span(
            f"predict {model.name}",
            context=self._propagator.extract(carrier),
            kind=SpanKind.SERVER,
            start_time=start,
            attributes={
                "slipway.project": model.name,
                "slipway.version": model.version.version,
                "slipway.variant": model.variant,
                "slipway.rows": response.rows,
            },
        )
        parent = set_span_in_context(span)
        infer = end - int(response.infer_seconds * 1e9)
        validate = infer - int(response.validate_seconds * 1e9)
        for name, started, ended in (("validate", validate, infer), ("infer", infer, end)):
            self._tracer.start_span(name, context=parent, start_time=max(started, start)).end(ended)
        span.end(end)
        return format_trace_id(span.get_span_context().trace_id)

    def close(self) -> None:
        """Send the remaining spans."""
        self._provider.shutdown()
