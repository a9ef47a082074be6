"""Carries one project's rollout on, look by look, until it is over; safe to kill at any moment.

A change is decided, written down, put into the promotion log and made, and only then done with.
Whoever takes over after a kill does again what was written down: everything here can be done
twice. When a version is sent back its traffic ends before anything else, the log included:
callers do not wait for a disk.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any

from filelock import Timeout

from slipway.policy import CHAMPION
from slipway.rollout import checks, interference, journal, measure, scrape, traffic
from slipway.rollout import state as states
from slipway.rollout.agreement import Compared
from slipway.rollout.arms import Arm
from slipway.rollout.decision import Advance, RollBack, Stage, decide, evidence
from slipway.rollout.state import State, Transition
from slipway.rollout.traffic import NoVersion, Standing

log = logging.getLogger("slipway.rollout")


class Controlled(Exception):
    """Another controller acts for the project."""


@contextmanager
def alone(project: str) -> Iterator[None]:
    """While nobody else acts for the project.

    Raises:
        Controlled: somebody does.
    """
    lock = states.lock(project)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise Controlled(
            f"{project}: another process controls its rollout; look: slipway rollout status"
        ) from None
    try:
        yield
    finally:
        lock.release()


class Controller:
    """The one that acts for its project, from `with` on."""

    def __init__(
        self,
        project: str,
        *,
        servers: tuple[str, ...] | None = None,
        clock: Callable[[], float] = states.now,
    ) -> None:
        self.project, self._servers = project, servers
        self.clock, self.began = clock, clock()
        self._alone = alone(project)
        self._state: State | None = None

    @property
    def servers(self) -> tuple[str, ...]:
        """Asked for at each step: replicas of a model server come and go."""
        return self._servers or scrape.addresses()

    def __enter__(self) -> "Controller":
        """Raises Controlled, NoRollout or StateDamaged."""
        self._alone.__enter__()
        try:
            self._state = states.load(self.project)
        except BaseException:
            self._alone.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._state = None
        self._alone.__exit__(None, None, None)

    @property
    def state(self) -> State:
        assert self._state is not None, "enter the controller first"
        return self._state

    def step(self) -> State:
        """One look, and what follows from it. A registry or server that is away holds it up."""
        state = self.state
        if state.over:
            return state
        wish = states.abort_asked(state)
        if state.intended and state.intended.to in (Stage.ROLLED_BACK, Stage.REFUSED):
            self._make()
        elif wish is not None:
            reason = f"aborted by {wish.actor}: {wish.reason}"
            self._intend(Stage.ROLLED_BACK, rule="abort", reason=reason)
        elif state.stage == Stage.CHECKS:
            self._check()
        else:
            self._look()
        return self.state

    def _check(self) -> None:
        """Before the version sees a request."""
        state = self.state
        try:
            if other := interference.found(state, traffic.standing(state.project)):
                self._intend(Stage.REFUSED, rule="interference", reason=f"refused: {other}")
                return
            if state.intended is not None:
                self._make()
                return
            met = checks.check(state.project, state.version, state.champion, state.plan)
        except (checks.NotMet, NoVersion) as short:
            self._intend(Stage.REFUSED, rule="checks", reason=f"refused: {short}")
        except Exception as error:
            self._hold(error)
        else:
            told = ", ".join(state.plan.checks) or "nothing: the plan leaves all checks out"
            to, step = _following(state)
            self._intend(to, step=step, rule="checks", reason=f"checked {told}", found=met)

    def _look(self) -> None:
        """Measure, decide, and do what was decided."""
        standing, unseen = None, ""
        try:
            standing = traffic.standing(self.project)
            other = interference.found(self.state, standing)
        except NoVersion as gone:
            other = str(gone)
        except Exception as error:
            other, unseen = "", _told(error)
        if other:
            told = f"rolled back (interference): {other}"
            self._intend(Stage.ROLLED_BACK, rule="interference", reason=told)
            return
        state, seen = measure.look(
            self.state,
            servers=self.servers,
            now=self.clock(),
            began=self.began,
            unseen=unseen,
        )
        self._save(state)
        verdict = decide(state.plan, seen)
        begun = _enthroned(state, standing)
        if isinstance(verdict, RollBack) and not begun:
            self._intend(
                Stage.ROLLED_BACK,
                rule=verdict.rule,
                reason=f"rolled back ({verdict.rule}): {verdict.reason}",
                found=evidence(seen, verdict.findings),
            )
        elif state.intended is not None and (begun or not seen.unseen):
            self._make()
        elif isinstance(verdict, Advance):
            to, step = _following(state)
            self._intend(
                to,
                step=step,
                rule=state.stage.value,
                reason=verdict.reason,
                found=evidence(seen, verdict.findings),
            )
        else:
            self._note(f"waiting: {verdict.reason}")

    def _intend(
        self,
        to: Stage,
        *,
        rule: str,
        reason: str,
        step: int = 0,
        found: dict[str, Any] | None = None,
    ) -> None:
        """Write down what was decided, and do it."""
        made = Transition(
            to=to, step=step, rule=rule, reason=reason, evidence=found or {}, at=self.clock()
        )
        self._change(intended=made, note=f"about to be {to}: {reason}")
        log.info("%s v%s to be %s: %s", self.project, self.state.version, to, reason)
        self._make()

    def _make(self) -> None:
        """Do what was written down; again at the next look when something is away."""
        state, made = self.state, self.state.intended
        assert made is not None
        try:
            if made.to == Stage.ROLLED_BACK:
                with suppress(NoVersion):  # nobody serves what the registry has no more
                    traffic.stop(state.project, state.version)
            journal.write(state, made, self._tags())
            _begin(state, made)
        except Exception as error:
            self._hold(error)
            return
        entered, canary = self.clock(), made.to == Stage.CANARY
        self._change(
            stage=made.to,
            step=made.step,
            entered=entered,
            serving_since=None,
            intended=None,
            note=made.reason,
            champion_arm=Arm(),
            candidate_arm=Arm(),
            steps=(*state.steps, entered) if canary else state.steps,
            compared=Compared(until=entered) if made.to == Stage.SHADOW else state.compared,
        )

    def _tags(self) -> dict[str, str]:
        try:
            return dict(traffic.version(self.project, self.state.version).tags)
        except NoVersion:
            return {}

    def _hold(self, error: Exception) -> None:
        told = f"held: {_told(error)}"
        if told != self.state.note:
            log.warning("%s: %s", self.project, told, exc_info=error)
        self._note(told)

    def _note(self, note: str) -> None:
        if note != self.state.note:
            self._change(note=note)

    def _change(self, **fields: Any) -> None:
        self._save(self.state.model_copy(update=fields))

    def _save(self, state: State) -> None:
        states.save(state)
        self._state = state


def _following(state: State) -> tuple[Stage, int]:
    """The stage after this one, and its step."""
    if state.champion is None:
        return Stage.PROMOTED, 0
    if state.stage == Stage.CHECKS and state.plan.shadow:
        return Stage.SHADOW, 0
    if state.stage in (Stage.CHECKS, Stage.SHADOW):
        return Stage.CANARY, 0
    last = state.step + 1 == len(state.plan.canary)
    return (Stage.PROMOTED, 0) if last else (Stage.CANARY, state.step + 1)


def _begin(state: State, made: Transition) -> None:
    if made.to == Stage.SHADOW:
        traffic.begin_shadow(state.project, state.version, state.plan.shadow)
    elif made.to == Stage.CANARY:
        traffic.begin_canary(state.project, state.version, state.plan.canary[made.step])
    elif made.to == Stage.PROMOTED:
        traffic.enthrone(state.project, state.version)


def _enthroned(state: State, standing: Standing | None) -> bool:
    """Whether the promotion has begun to be made; it is brought to its end then."""
    made = state.intended
    if made is None or made.to != Stage.PROMOTED or standing is None:
        return False
    return standing.aliases.get(CHAMPION) == state.version


def _told(error: Exception) -> str:
    lines = str(error).splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}"
