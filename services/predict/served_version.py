"""One registered version as a variant of its project: who it is, its limits and its counters."""

import logging
from functools import cached_property

from prometheus_client import Counter, Histogram

from services.predict import metrics
from services.predict.backend import VersionFiles
from services.predict.form_fields import FormFields
from services.predict.settings import Settings
from services.predict.snapshot import Version
from services.web.problem import Problem
from slipway.contract.serving import SLOW_SECONDS
from slipway.policy import Policy

log = logging.getLogger("slipway.predict")

# The default time limit of a slow version, as a multiple of the longest call that its project
# expects: this machine may be slower, or busy.
LATENCY_MARGIN = 2.0
# An explanation by parts may take the time of this many predictions, within bounds: a quick model
# needs them for small errors, and a slow one gets a coarser grid.
EXPLAINED_ROWS = 600
LEAST_EXPLAIN_SECONDS, MOST_EXPLAIN_SECONDS = 2.0, 8.0


class ServedVersion:
    """The part that all ways to run a version share, whether or not it is loaded."""

    def __init__(self, name: str, variant: str, version: Version, settings: Settings) -> None:
        self.name, self.variant, self.version, self.settings = name, variant, version, settings
        self.policy = Policy()
        self.digest = version.digest.encode("ascii").ljust(64)[:64]
        self.streams = version.profile.streams
        """True if the model streams its predictions in chunks."""
        self.latency_seconds = version.profile.latency_seconds
        """The longest call that its project expects."""
        labels = (name, version.version, variant)
        self.completed: list[tuple[float, float, float, int]] = []
        """One entry for each response since `update_metrics`: total, validation and inference
        seconds, and rows. Observed together: one by one would cost a tenth of the request."""
        self._latency = metrics.LATENCY.labels(*labels)
        self._validate = metrics.VALIDATE.labels(*labels)
        self.observe_queue = metrics.QUEUE.labels(*labels).observe
        self._infer = metrics.INFER.labels(*labels)
        self._rows = metrics.ROWS.labels(*labels)
        self._succeeded = metrics.REQUESTS.labels(*labels, "200")
        metrics.initialize_version(*labels, streams=self.streams)

    @property
    def slow(self) -> bool:
        """True if calls are so long that they stop when their caller has gone."""
        return self.latency_seconds > SLOW_SECONDS

    @property
    def pace(self) -> tuple[bytes, bytes]:
        """The header by which a proxy knows whether it may repeat a call that takes too long."""
        return (b"slipway-pace", b"slow" if self.slow or self.streams else b"quick")

    @property
    def timeout_seconds(self) -> float:
        """The time limit of a call, or between two chunks of a stream."""
        policy = self.policy
        if "timeout_seconds" in policy.model_fields_set:
            return policy.timeout_seconds
        return max(policy.timeout_seconds, LATENCY_MARGIN * self.latency_seconds)

    @property
    def explanation_seconds(self) -> float:
        """The time that an explanation by parts may take, from the measured latency."""
        wanted = EXPLAINED_ROWS * self.version.profile.batch_seconds
        return min(max(wanted, LEAST_EXPLAIN_SECONDS), MOST_EXPLAIN_SECONDS)

    @property
    def source(self) -> VersionFiles:
        version, settings = self.version, self.settings
        return VersionFiles(
            self.name, version.version, version.folder, settings.triton, settings.log_thumbnails
        )

    @cached_property
    def form_fields(self) -> FormFields:
        """The way in which forms send the fields of its record."""
        return FormFields(self.version.profile.input_schema)

    @cached_property
    def first_chunk(self) -> Histogram:
        return metrics.FIRST_CHUNK.labels(self.name, self.version.version, self.variant)

    @cached_property
    def chunks(self) -> Counter:
        return metrics.CHUNKS.labels(self.name, self.version.version, self.variant)

    def update_metrics(self) -> None:
        """Observe the responses since the last update."""
        completed, self.completed = self.completed, []
        if completed:
            totals, validate, infer, rows = (list(each) for each in zip(*completed, strict=True))
            metrics.observe_many(self._latency, totals)
            metrics.observe_many(self._validate, validate)
            metrics.observe_many(self._infer, infer)
            self._rows.inc(sum(rows))
            self._succeeded.inc(len(completed))

    def report_serving(self, flag: int) -> None:
        """Report to Prometheus whether this version serves its variant, 1 or 0."""
        metrics.SERVING.labels(self.name, self.version.version, self.variant).set(flag)

    def count_failure(self, status: int) -> None:
        """Count a request that ended with this HTTP status."""
        metrics.REQUESTS.labels(self.name, self.version.version, self.variant, status).inc()

    def error_problem(self, error: BaseException) -> Problem:
        """Count and log an error of the model; return the problem for the caller.

        The problem says nothing about the model's code.
        """
        self._count_error(metrics.Failure.RAISED)
        log.error(
            "%s v%s raised %s",
            *(self.name, self.version.version, type(error).__name__),
            exc_info=error,
        )
        return Problem(500, "Model failed", f"{self.name} could not make a prediction")

    def process_ended_problem(self) -> Problem:
        """Count that the model's process ended during a call; return the problem for the caller."""
        self._count_error(metrics.Failure.ENDED)
        return Problem(500, "Model failed", f"{self.name} could not make a prediction")

    def _count_error(self, failure: metrics.Failure) -> None:
        metrics.MODEL_ERRORS.labels(self.name, self.version.version, failure).inc()

    def queue_problem(self, waiting: int) -> Problem:
        """Return the problem for a caller whose request finds the queue full."""
        profile = self.version.profile
        seconds = waiting * min(profile.one_seconds, profile.batch_seconds)
        message = f"{waiting} requests wait for {self.name}; come back later"
        return Problem(503, "Too busy", message, retry_seconds=seconds)

    def timeout_problem(self) -> Problem:
        """Count a call that took too long; return the problem for the caller."""
        self._count_error(metrics.Failure.TIMEOUT)
        seconds = self.timeout_seconds
        return Problem(504, "Model too slow", f"{self.name} did not respond in {seconds:g} s")
