"""The promises to callers under each fault, with the reason. The default is no error."""

from infra.chaos.faults import InjectedFault
from infra.chaos.judge import CallerPromise, Expectation
from infra.chaos.load import CONNECTION, TIMEOUT

AWAY = frozenset({"503"})
# The one proxy on one machine: nothing else responds in its place.
SHUT = frozenset({CONNECTION, TIMEOUT, "503", "502", "504"})


def expected(fault: InjectedFault) -> Expectation:
    """Return the promise to callers who send every field, and to those whose fields are looked
    up."""
    match (fault.kind, fault.service, fault.network):
        case ("kill", "proxy", _):
            why = "the one proxy on one machine: connections are refused until Docker starts it"
            shut = CallerPromise(errors=frozenset({CONNECTION}), within_seconds=5, must_occur=True)
            return Expectation(why, plain=shut, looked_up=shut)
        case ("kill children of", "proxy", _):
            why = "requests in HAProxy are lost; others wait until its supervisor has replaced it"
            lost = CallerPromise(errors=frozenset({CONNECTION}), within_seconds=1)
            return Expectation(why, plain=lost, looked_up=lost)
        case ("cut", "proxy", "door"):
            why = "the one proxy on one machine: Docker moves its port to another network, and back"
            shut = CallerPromise(errors=SHUT, within_seconds=5)
            return Expectation(why, plain=shut, looked_up=shut)
        case ("kill", "redis", _):
            why = "features are away for the second until it is back with its last snapshot"
            away = CallerPromise(errors=AWAY, within_seconds=10, slowest_seconds=3)
            return Expectation(why, looked_up=away)
        case ("pause" | "cut", "redis", _):
            why = "look-ups are given up: 503 Features away, from each server in turn"
            away = CallerPromise(errors=AWAY, within_seconds=3, slowest_seconds=3, must_occur=True)
            return Expectation(why, looked_up=away)
        case ("fill", _, _):
            why = "a full disk loses records, whose ids say so, and never a response"
            return Expectation(why, unpromised=True)
        case ("pause", "predict", _):
            why = "its requests go to the other server once the proxy's timeout has passed"
        case ("cut", "proxy", "serving"):
            why = "the proxy also reaches the model servers on the telemetry network"
        case ("kill" | "kill children of" | "cut", "predict", _):
            why = "the proxy retries on the other model server"
        case _:
            why = "no prediction passes through it"
    return Expectation(why)
