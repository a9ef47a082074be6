"""Says which responses and which changes of a service are faults."""

from dataclasses import dataclass

from tests.drills.fuzz.processes import Seen
from tests.drills.fuzz.request import Answer, Request

MEBIBYTE = 2**20
# gRPC's words for a failed server.
GRPC_FAULTS = frozenset({"UNKNOWN", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "DEADLINE_EXCEEDED"})
SILENCE = frozenset({"closed", "timeout", "malformed"})


@dataclass(frozen=True)
class Exemption:
    """A response of 500 and above that is no fault."""

    service: str
    route: str
    status: int
    title: str
    reason: str


EXEMPTIONS = (
    Exemption(
        *("trainer", "POST /v1/runs", 503, "Queue full"),
        "runs take seconds each, and any caller can queue more than the setting `queue` holds",
    ),
    Exemption(
        *("predict", "POST /v1/models/{name}/jobs", 503, "Too many jobs"),
        "as the trainer's queue: a hundred jobs may wait",
    ),
    Exemption(
        *("monitor", "POST /v1/projects/{name}/check", 503, "Busy"),
        "one check runs at a time, and several connections ask for one",
    ),
)


def fault_of(service: str, request: Request, answer: Answer) -> str:
    """Return why the response is a fault; an empty text if it is none."""
    status = answer.status
    if request.to_grpc_port:
        return status if status == "ConnectionRefusedError" else ""  # type: ignore[return-value]
    if request.grpc_method:
        detail = answer.body.decode(errors="replace")[:200]
        return f"{status}: {detail}" if status in GRPC_FAULTS else ""
    if isinstance(status, str):
        if status == "ConnectionRefusedError" or (request.needs_answer and status in SILENCE):
            return f"no response: {status}"
        return ""
    if answer.cut_off and request.needs_answer:
        return f"{status}, and the body is cut off"
    if status < 500 or _is_exempt(service, request, answer):
        return ""
    return f"{status} {_title(answer)}"


def _title(answer: Answer) -> str:
    return str(answer.value.get("title", "")) if isinstance(answer.value, dict) else ""


def _is_exempt(service: str, request: Request, answer: Answer) -> bool:
    """Return whether the response is exempt, which it is only if it says when to come back."""
    return "retry-after" in answer.headers and any(
        (each.service, each.status, each.title) == (service, answer.status, _title(answer))
        and request.route == each.route
        for each in EXEMPTIONS
    )


def process_faults(first: Seen, before: Seen, after: Seen, most_bytes: int) -> list[str]:
    """Return the faults of the processes.

    Args:
        first: the processes before any request.
        before: the same after the warm-up, from which memory may grow by `most_bytes`.
        after: the same at the end.
    """
    found = [f"{name} ended" for name in first.bytes if name not in after.bytes]
    if after.restarts > first.restarts:
        found.append(f"{after.restarts - first.restarts:g} workers restarted")
    for name, resident in before.bytes.items():
        grown = after.bytes.get(name, 0) - resident
        if grown > most_bytes:
            found.append(f"{name} grew by {grown / MEBIBYTE:.0f} MiB")
    return found
