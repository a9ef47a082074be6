"""A project whose new version is rolled out, and the metrics of its model server."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from services import rollout
from services.rollout import traffic
from services.rollout.controller import Controller
from services.rollout.decision import Stage
from services.rollout.plan import RolloutPlan
from services.rollout.state import RolloutState
from slipway.policy import Policy
from slipway.registry import promotions
from tests.manual_clock import ManualClock
from tests.services.fake_models import ModelRegistryFixture, echo
from tests.services.rollout.metrics_exporter import MetricsExporter

PLAN = RolloutPlan(
    checks=(),
    shadow=50,
    shadow_requests=20,
    shadow_seconds=1,
    disagreement=None,
    canary=(5, 50),
    requests=20,
    seconds=1,
    baseline_requests=20,
)


class RolloutScenario:
    """A project with champion v1 and candidate v2, and one model server."""

    def __init__(
        self, registry: ModelRegistryFixture, exporter: MetricsExporter, address: str
    ) -> None:
        self.registry, self.exporter, self.address = registry, exporter, address
        self.clock = ManualClock()
        self.bad = False
        """True if every request to v2 fails."""
        exporter.count("1", "champion", times=200)
        exporter.serve("1", "champion")

    def start(self, plan: RolloutPlan = PLAN) -> RolloutState:
        """Start a rollout of v2."""
        return rollout.start("model", "2", plan=plan, actor="tester")

    def controller(self) -> Controller:
        """Return a controller that uses the scenario's server and clock."""
        return Controller("model", servers=(self.address,), clock=self.clock)

    def traffic(self, state: RolloutState) -> None:
        """Advance by two seconds of the traffic that the registry's aliases and policy cause."""
        self.clock.now += 2
        self.exporter.count("1", "champion", times=30)
        split = traffic.current_split("model")
        for variant in ("shadow", "challenger"):
            serves = split.aliases.get(variant) == "2"
            self.exporter.serve("2", variant, int(serves))
            if serves and getattr(split.policy, variant):
                self.exporter.count("2", variant, times=15)
                if self.bad:
                    self.exporter.requests.labels("model", "2", variant, "500").inc(15)

    def until(self, stage: Stage, *, steps: int = 40) -> RolloutState:
        """Alternate controller steps and traffic until the rollout reaches the stage."""
        with self.controller() as controller:
            for _ in range(steps):
                state = controller.step()
                if state.stage == stage:
                    return state
                self.traffic(state)
        raise AssertionError(f"never {stage}: {state.stage}, {state.note}")

    def events(self) -> list[str]:
        """Return the events in the promotion log."""
        return [each["evidence"]["event"] for each in promotions.history("model")]

    def split(self) -> tuple[dict[str, str], Policy | None]:
        """Return aliases and policy of the project."""
        found = traffic.current_split("model")
        return found.aliases, found.policy


def add_two_versions(folder: Path, monkeypatch: pytest.MonkeyPatch) -> ModelRegistryFixture:
    """Return a registry of the project `model` with champion v1 and v2; make it the registry."""
    registry = ModelRegistryFixture(folder)
    monkeypatch.setenv("SLIPWAY_HOME", str(registry.home))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", registry.uri)
    registry.add("model", echo("right"))
    registry.add("model", echo("right"), alias=None)
    return registry


@contextmanager
def rollout_scenario(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RolloutScenario]:
    """Yield a scenario with a model server whose metrics the test sets."""
    exporter = MetricsExporter()
    registry = add_two_versions(folder, monkeypatch)
    with exporter.listening() as address:
        yield RolloutScenario(registry, exporter, address)


def write_policy(registry: ModelRegistryFixture, text: str) -> None:
    """Write a policy tag without any check."""
    registry.client.set_registered_model_tag("model", "slipway.policy", text)
