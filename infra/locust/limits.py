"""The limits that a run is checked against."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from infra.slo.promised import promised


class Limits(BaseModel):
    """The objectives in infra/slo/predict.yaml, unless others are given."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    p99_ms: Annotated[float, Field(gt=0)] = Field(
        default_factory=lambda: 1000 * promised("predict", "latency").latency_seconds
    )
    """The limit of the 99th percentile of latency, in milliseconds."""
    error_share: Annotated[float, Field(ge=0, le=1)] = Field(
        default_factory=lambda: promised("predict", "availability").budget
    )
    """The share of requests that may fail."""

    def missed(self, *, p99_ms: float | None, failed: int, requests: int) -> list[str]:
        """Return a line for each limit that a run missed; a run without requests misses all."""
        if not requests or p99_ms is None:
            return ["limit not met: a request gets a response, got none"]
        lines = []
        if p99_ms > self.p99_ms:
            lines.append(f"limit not met: p99 <= {self.p99_ms:g} ms, got {p99_ms:.3g} ms")
        if failed > self.error_share * requests:
            lines.append(
                f"limit not met: errors <= {100 * self.error_share:g}%, "
                f"got {100 * failed / requests:.3g}% ({failed} of {requests} requests)"
            )
        return lines
