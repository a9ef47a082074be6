"""What a run is held against."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from slipway.slo.promised import promised


class Limits(BaseModel):
    """Those of the objectives in infra/slo/predict.yaml, unless others are given."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    p99_ms: Annotated[float, Field(gt=0)] = Field(
        default_factory=lambda: 1000 * promised("predict", "latency").latency_seconds
    )
    """Milliseconds in which 99% of the requests are answered."""
    error_share: Annotated[float, Field(ge=0, le=1)] = Field(
        default_factory=lambda: promised("predict", "availability").budget
    )
    """Of the requests, that may fail."""

    def missed(self, *, p99_ms: float | None, failed: int, asked: int) -> list[str]:
        """A line for each that a run did not keep; a run without requests keeps none."""
        if not asked or p99_ms is None:
            return ["limit not met: a request is answered, got none"]
        lines = []
        if p99_ms > self.p99_ms:
            lines.append(f"limit not met: p99 <= {self.p99_ms:g} ms, got {p99_ms:.3g} ms")
        if failed > self.error_share * asked:
            lines.append(
                f"limit not met: errors <= {100 * self.error_share:g}%, "
                f"got {100 * failed / asked:.3g}% ({failed} of {asked} requests)"
            )
        return lines
