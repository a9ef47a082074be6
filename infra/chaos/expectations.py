"""What callers are promised of each fault, with the reason; unless it stands here: no error."""

from infra.chaos.faults import Fault
from infra.chaos.judge import Expectation, Promise
from infra.chaos.load import CONNECTION, TIMEOUT

AWAY = frozenset({"503"})
# One door on one machine: nobody answers in its place.
SHUT = frozenset({CONNECTION, TIMEOUT, "503", "502", "504"})


def expected(fault: Fault) -> Expectation:
    """The promise to callers who send everything, and to those whose features are looked up."""
    match (fault.kind, fault.service, fault.network):
        case ("kill", "proxy", _):
            why = "the one door on one machine: connections are refused until Docker starts it"
            shut = Promise(errors=frozenset({CONNECTION}), within_seconds=5, felt=True)
            return Expectation(why, plain=shut, looked_up=shut)
        case ("cut", "proxy", "door"):
            why = "the one door on one machine: Docker moves its port to another network, and back"
            shut = Promise(errors=SHUT, within_seconds=5)
            return Expectation(why, plain=shut, looked_up=shut)
        case ("kill", "redis", _):
            why = "features are away for the second until it is back with its last snapshot"
            away = Promise(errors=AWAY, within_seconds=10, slowest_seconds=3)
            return Expectation(why, looked_up=away)
        case ("pause" | "cut", "redis", _):
            why = "look-ups are given up: 503 Features away, from each of the servers asked"
            away = Promise(errors=AWAY, within_seconds=3, slowest_seconds=3, felt=True)
            return Expectation(why, looked_up=away)
        case ("fill", _, _):
            why = "a full disk costs records, whose ids say so, and never an answer"
            return Expectation(why, unpromised=True)
        case ("pause", "predict", _):
            why = "what it had taken is asked of the other once the proxy has waited long enough"
        case ("cut", "proxy", "serving"):
            why = "the proxy knows the model servers on the network of telemetry too"
        case ("kill" | "cut", "predict", _):
            why = "the proxy asks the other model server"
        case _:
            why = "no prediction passes it"
    return Expectation(why)
