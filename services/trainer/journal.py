"""The trainer's state: an append-only log of runs and decisions, and its content in memory.

Memory changes only after the line is on disk, by the same code that reads the log at the start.
What a caller got as a response is therefore still there after a kill.
"""

from collections import deque
from pathlib import Path
from typing import Any

from filelock import FileLock

from services.trainer.decision import AlertDecision, AlertOutcome
from services.trainer.run import Run, RunState
from slipway.registry.chain import ChainLog

# In memory; the log on disk has more. At one alert a minute they are those of a week.
MOST_DECISIONS = 10_000
# On disk. Alerts can name any project, so whoever may send them could fill the disk with these.
MOST_UNKNOWN = 1000


class Journal:
    """Holds the runs by id and the newest decisions, both oldest first.

    Raises:
        ChainBroken: a line of the log was changed or removed.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / "journal.lock")
        self._log = ChainLog(folder / "journal.jsonl", lock=lambda: lock)
        self.runs: dict[str, Run] = {}
        self.decisions: deque[AlertDecision] = deque(maxlen=MOST_DECISIONS)
        self._unknown = 0
        for entry in self._log.entries():
            self._apply(entry)

    def queued(self, run: Run) -> Run:
        """Record a new run."""
        self._write({"event": "queued", "run": run.model_dump(mode="json")})
        return self.runs[run.id]

    def change(self, id: str, event: str, **changes: Any) -> Run:
        """Record new values of the run's fields; `event` names the reason in the log."""
        changed = self.runs[id].model_copy(update=changes).model_dump(mode="json")
        self._write(
            {"event": event, "id": id, "changes": {each: changed[each] for each in changes}}
        )
        return self.runs[id]

    def decided(self, decision: AlertDecision) -> AlertDecision:
        """Record a decision on an alert, unless it repeats the last one on the same alert.

        Of decisions on projects that do not exist, the first `MOST_UNKNOWN` are recorded.

        Alertmanager sends an alert again and again while it fires; each time the disk has to keep
        nothing new.
        """
        unknown = decision.outcome is AlertOutcome.UNKNOWN_PROJECT
        if not (self._repeats(decision) or (unknown and self._unknown >= MOST_UNKNOWN)):
            self._write({"event": "decided", "decision": decision.model_dump(mode="json")})
        return decision

    def _repeats(self, decision: AlertDecision) -> bool:
        before = next(
            (each for each in reversed(self.decisions) if each.alarm == decision.alarm), None
        )
        return (
            before is not None
            and decision.outcome is not AlertOutcome.STARTED
            and (before.outcome, before.run) == (decision.outcome, decision.run)
        )

    def _write(self, entry: dict[str, Any]) -> None:
        self._log.append(entry)
        self._apply(entry)

    def _apply(self, entry: dict[str, Any]) -> None:
        if entry["event"] == "queued":
            run = Run.model_validate(entry["run"])
            self.runs[run.id] = run
        elif entry["event"] == "decided":
            decision = AlertDecision.model_validate(entry["decision"])
            self.decisions.append(decision)
            self._unknown += decision.outcome is AlertOutcome.UNKNOWN_PROJECT
        else:
            run = self.runs[entry["id"]]
            values = {**run.model_dump(mode="json"), **entry["changes"]}
            self.runs[run.id] = Run.model_validate(values)

    def unfinished(self) -> list[Run]:
        """Return the queued and running runs, oldest first."""
        return [run for run in self.runs.values() if not run.state.ended]

    def waiting(self) -> list[Run]:
        """Return the queued runs, oldest first."""
        return [run for run in self.runs.values() if run.state is RunState.QUEUED]

    def running(self) -> list[Run]:
        """Return the runs in progress."""
        return [run for run in self.runs.values() if run.state is RunState.RUNNING]
