"""Control one project's rollout, step by step, until it is over; safe to kill at any moment.

A transition is decided, saved, written to the promotion log and made; then it counts as done. A
controller that takes over after a kill repeats the saved transition: everything here is idempotent.
When a version is rolled back its traffic ends before anything else, even before the log is written,
so that callers do not wait for a disk.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any

from filelock import Timeout

from services.rollout import checks, interference, journal, measure, scrape, traffic
from services.rollout import state as states
from services.rollout.agreement import ComparedPairs
from services.rollout.arms import Arm
from services.rollout.decision import Advance, RollBack, Stage, decide, evidence
from services.rollout.state import RolloutState, Transition
from services.rollout.traffic import NoVersion, TrafficSplit
from slipway.policy import CHAMPION

log = logging.getLogger("services.rollout")


class AlreadyControlled(Exception):
    """Raised if another controller acts for the project."""


@contextmanager
def exclusive_control(project: str) -> Iterator[None]:
    """Hold the lock by which one controller acts for the project.

    Raises:
        AlreadyControlled: another process holds it.
    """
    lock = states.lock(project)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise AlreadyControlled(
            f"{project}: another process controls its rollout; see slipway rollout status"
        ) from None
    try:
        yield
    finally:
        lock.release()


class Controller:
    """Acts for its project while its `with` block is open."""

    def __init__(
        self,
        project: str,
        *,
        servers: tuple[str, ...] | None = None,
        clock: Callable[[], float] = states.now,
    ) -> None:
        self.project, self._servers = project, servers
        self.clock, self.start_time = clock, clock()
        self._control = exclusive_control(project)
        self._state: RolloutState | None = None

    @property
    def servers(self) -> tuple[str, ...]:
        """The addresses of the model servers, looked up at each step: replicas come and go."""
        return self._servers or scrape.addresses()

    def __enter__(self) -> "Controller":
        """Take control.

        Raises:
            AlreadyControlled: another controller acts for the project.
            NoRollout: the project never had a rollout.
            StateDamaged: its file cannot be read.
        """
        self._control.__enter__()
        try:
            self._state = states.load(self.project)
        except BaseException:
            self._control.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._state = None
        self._control.__exit__(None, None, None)

    @property
    def state(self) -> RolloutState:
        """The rollout's state."""
        assert self._state is not None, "enter the controller first"
        return self._state

    def step(self) -> RolloutState:
        """Observe once and act on it. While a registry or server is unavailable, wait."""
        state = self.state
        if state.over:
            return state
        abort = states.requested_abort(state)
        if state.intended and state.intended.to in (Stage.ROLLED_BACK, Stage.REFUSED):
            self._make_transition()
        elif abort is not None:
            reason = f"aborted by {abort.actor}: {abort.reason}"
            self._decide(Stage.ROLLED_BACK, rule="abort", reason=reason)
        elif state.stage == Stage.CHECKS:
            self._check()
        else:
            self._observe()
        return self.state

    def _check(self) -> None:
        """Run the checks that come before the version gets a request."""
        state = self.state
        try:
            if other := interference.detect(state, traffic.current_split(state.project)):
                self._decide(Stage.REFUSED, rule="interference", reason=f"refused: {other}")
                return
            if state.intended is not None:
                self._make_transition()
                return
            met = checks.run_checks(state.project, state.version, state.champion, state.plan)
        except (checks.NotMet, NoVersion) as short:
            self._decide(Stage.REFUSED, rule="checks", reason=f"refused: {short}")
        except Exception as error:
            self._hold(error)
        else:
            passed = ", ".join(state.plan.checks) or "nothing: the plan leaves all checks out"
            to, step = _next_stage(state)
            self._decide(to, step=step, rule="checks", reason=f"checked {passed}", found=met)

    def _observe(self) -> None:
        """Measure, decide, and act on the decision."""
        split, unavailable = None, ""
        try:
            split = traffic.current_split(self.project)
            other = interference.detect(self.state, split)
        except NoVersion as gone:
            other = str(gone)
        except Exception as error:
            other, unavailable = "", _summary(error)
        if other:
            reason = f"rolled back (interference): {other}"
            self._decide(Stage.ROLLED_BACK, rule="interference", reason=reason)
            return
        state, observed = measure.observe(
            self.state,
            servers=self.servers,
            now=self.clock(),
            controlled_since=self.start_time,
            unavailable=unavailable,
        )
        self._save(state)
        verdict = decide(state.plan, observed)
        promoting = _promotion_begun(state, split)
        if isinstance(verdict, RollBack) and not promoting:
            self._decide(
                Stage.ROLLED_BACK,
                rule=verdict.rule,
                reason=f"rolled back ({verdict.rule}): {verdict.reason}",
                found=evidence(observed, verdict.findings),
            )
        elif state.intended is not None and (promoting or not observed.unavailable):
            self._make_transition()
        elif isinstance(verdict, Advance):
            to, step = _next_stage(state)
            self._decide(
                to,
                step=step,
                rule=state.stage.value,
                reason=verdict.reason,
                found=evidence(observed, verdict.findings),
            )
        else:
            self._note(f"waiting: {verdict.reason}")

    def _decide(
        self,
        to: Stage,
        *,
        rule: str,
        reason: str,
        step: int = 0,
        found: dict[str, Any] | None = None,
    ) -> None:
        """Save the decision, and make the transition."""
        transition = Transition(
            to=to, step=step, rule=rule, reason=reason, evidence=found or {}, at=self.clock()
        )
        self._change(intended=transition, note=f"about to be {to}: {reason}")
        log.info("%s v%s to be %s: %s", self.project, self.state.version, to, reason)
        self._make_transition()

    def _make_transition(self) -> None:
        """Make the intended transition; repeated at the next step if something is unavailable."""
        state, transition = self.state, self.state.intended
        assert transition is not None
        try:
            if transition.to == Stage.ROLLED_BACK:
                with suppress(NoVersion):  # nothing serves a version that the registry lost
                    traffic.stop(state.project, state.version)
            journal.write(state, transition, self._tags())
            _shift_traffic(state, transition)
        except Exception as error:
            self._hold(error)
            return
        entered, canary = self.clock(), transition.to == Stage.CANARY
        self._change(
            stage=transition.to,
            step=transition.step,
            entered=entered,
            serving_since=None,
            intended=None,
            note=transition.reason,
            champion_arm=Arm(),
            candidate_arm=Arm(),
            steps=(*state.steps, entered) if canary else state.steps,
            compared=ComparedPairs(until=entered)
            if transition.to == Stage.SHADOW
            else state.compared,
        )

    def _tags(self) -> dict[str, str]:
        try:
            return dict(traffic.version(self.project, self.state.version).tags)
        except NoVersion:
            return {}

    def _hold(self, error: Exception) -> None:
        note = f"held: {_summary(error)}"
        if note != self.state.note:
            log.warning("%s: %s", self.project, note, exc_info=error)
        self._note(note)

    def _note(self, note: str) -> None:
        if note != self.state.note:
            self._change(note=note)

    def _change(self, **fields: Any) -> None:
        self._save(self.state.model_copy(update=fields))

    def _save(self, state: RolloutState) -> None:
        states.save(state)
        self._state = state


def _next_stage(state: RolloutState) -> tuple[Stage, int]:
    """Return the stage after this one, and its step."""
    if state.champion is None:
        return Stage.PROMOTED, 0
    if state.stage == Stage.CHECKS and state.plan.shadow:
        return Stage.SHADOW, 0
    if state.stage in (Stage.CHECKS, Stage.SHADOW):
        return Stage.CANARY, 0
    last = state.step + 1 == len(state.plan.canary)
    return (Stage.PROMOTED, 0) if last else (Stage.CANARY, state.step + 1)


def _shift_traffic(state: RolloutState, transition: Transition) -> None:
    if transition.to == Stage.SHADOW:
        traffic.start_shadow(state.project, state.version, state.plan.shadow)
    elif transition.to == Stage.CANARY:
        traffic.start_canary(state.project, state.version, state.plan.canary[transition.step])
    elif transition.to == Stage.PROMOTED:
        traffic.make_champion(state.project, state.version)


def _promotion_begun(state: RolloutState, split: TrafficSplit | None) -> bool:
    """Return whether the alias has moved already; the promotion is then finished in any case."""
    intended = state.intended
    if intended is None or intended.to != Stage.PROMOTED or split is None:
        return False
    return split.aliases.get(CHAMPION) == state.version


def _summary(error: Exception) -> str:
    lines = str(error).splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}"
