"""`python -m services.trainer.driver FOLDER ATTEMPT`: one run, in a process of its own.

It needs nobody: the trainer may end or be killed meanwhile, and the next one finds what came of
it in the folder. Killed itself, it is started again over the same copy, and DVC goes on at the
stage that was interrupted.
"""

import json
import os
import re
import shutil
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from services.trainer import family
from services.trainer.run import (
    STAGES,
    Folder,
    Order,
    Outcome,
    Promotion,
    State,
    stamped,
)
from slipway import home
from slipway.project import Project
from slipway.repro import dvc, python
from slipway.retraining import collect
from slipway.retraining.labelled import FeedbackUse
from slipway.retraining.worktree import Worktree
from slipway.training.workspace import Workspace

# A trainer that looks whether we live holds the lock for a moment.
LOCK_SECONDS = 10
RUNNING = re.compile(r"Running stage '(?:.*:)?(\w+)'")
CACHED = re.compile(r"Stage '(?:.*:)?(\w+)' (?:didn't change|is cached)")


class StepFailed(Exception):
    """A step of the run failed; the message is what it said itself."""


class Log:
    """The run's lines, each with its time, up to a limit of bytes."""

    def __init__(self, file: Path, limit: int) -> None:
        self._stream = file.open("ab", buffering=0)
        self._left = limit - self._stream.tell()
        self.blamed = ""
        """The last line in which Slipway or DVC names a cause."""

    def say(self, told: str) -> None:
        # The tools' own name for the cause comes first; what DVC says of the stage after it.
        if told.startswith("slipway: "):
            self.blamed = told.removeprefix("slipway: ")
        elif told.startswith("ERROR: ") and not self.blamed:
            self.blamed = told.removeprefix("ERROR: ")
        line = stamped(told)
        if self._left <= 0:
            return
        if len(line) > self._left:
            line = b"(the log is full; the run goes on)\n"
            self._left = 0
        self._stream.write(line)
        self._left -= len(line)


class Driver:
    def __init__(self, order: Order, folder: Folder, attempt: int) -> None:
        self.order, self.folder = order, folder
        self.request = order.request
        self.log = Log(folder.log, order.log_bytes)
        self.progress = folder.progress().model_copy(update={"attempt": attempt})
        self.worktree = Worktree(order.root, folder.tree, order.track, order.request.project)

    @property
    def project(self) -> Project:
        return self.worktree.project

    def run(self) -> Outcome:
        """All steps; those that an earlier attempt has done are not done again."""
        self._enter("begin")
        self.log.say(f"attempt {self.progress.attempt}: {self.request.reason}")
        try:
            if not self.progress.commit:
                self._copy()
            self.worktree.unlock()
            self._train()
            self._enter("settle")
            outcome = self._settled()
        except Exception as error:
            if not isinstance(error, StepFailed):
                for line in traceback.format_exc().splitlines():
                    self.log.say(line)
            outcome = self._failed(str(error) or type(error).__name__)
        return outcome.model_copy(update={"kept": self._kept(outcome)})

    def _enter(self, stage: str, **update: Any) -> None:
        changes = {"stage": stage, "since": time.time(), **update}
        self.progress = self.progress.model_copy(update=changes)
        self.folder.put_progress(self.progress)

    def _copy(self) -> None:
        self._enter("copy")
        # Half a copy of an earlier attempt is of no use: nothing was trained in it.
        shutil.rmtree(self.folder.tree, ignore_errors=True)
        self.worktree.make()
        if self.request.parameters:
            self.worktree.override(self.request.parameters)
        feedback = self._feedback(self.request.feedback) if self.request.feedback else None
        message = f"Run {self.order.id} of {self.request.project}: {self.request.reason}"
        commit = self.worktree.commit(message)
        self.log.say(f"training from commit {commit}")
        self._enter("copy", commit=commit, feedback=feedback)

    def _feedback(self, use: FeedbackUse) -> dict[str, Any]:
        """Make the feedback a data version; what is known of it."""
        self._enter("feedback")
        shutil.rmtree(self.folder.feedback, ignore_errors=True)
        order = collect.Order(records=self.order.records, use=use, into=self.folder.feedback)
        file = self.folder.place / "collect.json"
        file.write_text(order.model_dump_json())
        words = ("-m", "slipway.retraining.collect", str(file))
        if code := self._python(*words, folder=self.project.folder):
            told = self.log.blamed or f"collecting the feedback failed (exit {code})"
            if self.order.feedback_needed or code != collect.UNSUITABLE:
                raise StepFailed(told)
            self.log.say(f"trained without feedback: {told}")
            self.log.blamed = ""
            return {"md5": None, "why": told}
        about: dict[str, Any] = json.loads((self.folder.feedback / "about.json").read_text())
        if not about["some"]:
            return {"md5": None, "why": "no labelled rows", **about}
        md5 = self.worktree.add_feedback(self.folder.feedback / "rows")
        self.log.say(f"data version {md5}: {about['counts']['used']} rows of feedback")
        return {"md5": md5, **about}

    def _python(self, *words: str, folder: Path) -> int:
        """A command in the copy; its exit status."""
        return python(*words, tell=self.log.say, folder=folder, environment=self._environment())

    def _environment(self) -> dict[str, str]:
        feedback = self.progress.feedback or {}
        lineage = {"trainer_run": self.order.id, "reason": self.request.reason}
        if feedback.get("md5"):
            lineage["feedback_md5"] = feedback["md5"]
            lineage["feedback_rows"] = str(feedback["counts"]["used"])
        own = {"SLIPWAY_LINEAGE": json.dumps(lineage)}
        if self.order.rollout:
            own["SLIPWAY_PROMOTE"] = "never"
        return {**self.worktree.environment, **own}

    def _train(self) -> None:
        """An ordinary `dvc repro`.

        Raises:
            StepFailed: a stage failed.
        """
        self._dvc("repro", f"{self._place}/dvc.yaml")
        self._enter(self.progress.stage, done=STAGES)

    def _dvc(self, *words: str) -> None:
        code = dvc(
            *words, tell=self._told, folder=self.folder.tree, environment=self._environment()
        )
        if code:
            raise StepFailed(self.log.blamed or f"dvc {words[0]} failed (exit {code})")

    def _told(self, line: str) -> None:
        self.log.say(line)
        if (found := RUNNING.match(line)) and found[1] in STAGES:
            before = STAGES[: STAGES.index(found[1])]
            self._enter(found[1], done=tuple(x for x in STAGES if x in before))
        elif (found := CACHED.match(line)) and found[1] in STAGES:
            cached = tuple(dict.fromkeys((*self.progress.cached, found[1])))
            self._enter(found[1], done=self._with(found[1]), cached=cached)

    def _with(self, stage: str) -> tuple[str, ...]:
        return tuple(each for each in STAGES if each in (*self.progress.done, stage))

    def _settled(self) -> Outcome:
        """What the registry says of what was trained."""
        from slipway.registry import tracking

        name, registry = self.request.project, tracking.client()
        version = tracking.version_with(registry, name, self._digest())
        if version is None:
            # DVC has the result from somewhere else; this registry never saw it.
            self.log.say("not in this registry, registered again")
            self._dvc("repro", "--force", "--single-item", f"{self._place}/dvc.yaml:register")
            version = tracking.version_with(registry, name, self._digest())
        if version is None:
            raise StepFailed("registered, but the registry has no version with its digest")
        number = str(version.version)
        new = version.tags.get("git_commit", "").startswith(self.progress.commit or "-")
        if new:
            self._tag(registry, version)
        promotion = self._promotion(number) if new else None
        return Outcome(
            state=State.SUCCEEDED,
            reason=self._summary(number, new, promotion),
            mlflow_run=version.run_id,
            version=number,
            new=new,
            promotion=promotion,
            # What is not new was handed over when it was, and may have been refused since.
            rollout=self._rollout(registry, number) if self.order.rollout and new else None,
        )

    @property
    def _place(self) -> Path:
        return self.project.folder.relative_to(self.folder.tree)

    def _digest(self) -> str:
        receipt = Workspace.of(self.project).receipt
        return str(json.loads(receipt.read_text())["digest"])

    def _tag(self, registry: Any, version: Any) -> None:
        """Which run and which feedback: with the version, and with its MLflow run."""
        lineage = json.loads(self._environment()["SLIPWAY_LINEAGE"])
        for name, value in lineage.items():
            registry.set_tag(version.run_id, name, value)
            registry.set_model_version_tag(version.name, str(version.version), name, value)

    def _promotion(self, version: str) -> Promotion | None:
        """The promotion rule's decision on the version, if there was one."""
        from slipway.registry import promotions

        entries = [
            each
            for each in promotions.history(self.request.project)
            if each.get("version") == version and "promoted" in each
        ]
        if not entries:
            return None
        last = entries[-1]
        return Promotion(promoted=last["promoted"], reason=last["reason"], time=last["time"])

    def _summary(self, version: str, new: bool, promotion: Promotion | None) -> str:
        if not new:
            return f"v{version} holds exactly this already: nothing new was trained"
        if promotion is None:
            return f"registered v{version}"
        did = "promoted" if promotion.promoted else "kept out"
        return f"registered v{version}, {did}: {promotion.reason}"

    def _rollout(self, registry: Any, version: str) -> str:
        """Hand the version over, unless it is champion: doing it twice changes nothing."""
        from slipway.registry import tracking

        champion = tracking.version_of(registry, self.request.project, tracking.CHAMPION)
        if champion is not None and str(champion.version) == version:
            return "champion already"
        from slipway import rollout

        actor = f"trainer, run {self.order.id} ({self.request.reason})"
        try:
            state = rollout.start(self.request.project, version, actor=actor)
        except (rollout.Refused, rollout.BadPlan) as refusal:
            return f"refused: {refusal}"
        self.log.say(f"v{version} handed to rollout {state.id}")
        return f"started: {state.id}"

    def _failed(self, reason: str) -> Outcome:
        self.log.say(f"failed: {reason}")
        return Outcome(state=State.FAILED, reason=reason[:1000], mlflow_run=self._logged_run())

    def _logged_run(self) -> str | None:
        """Of a run that was logged and then failed: its gate was not met."""
        if self.progress.stage not in ("register", "settle") or not self.progress.commit:
            return None
        from slipway.registry import tracking

        try:
            registry = tracking.client()
            experiment = registry.get_experiment_by_name(self.request.project)
            if experiment is None:
                return None
            found = registry.search_runs(
                [experiment.experiment_id], f"tags.git_commit LIKE '{self.progress.commit}%'"
            )
        except Exception as error:
            self.log.say(f"which MLflow run it was could not be told: {error}")
            return None
        return str(found[0].info.run_id) if found else None

    def _kept(self, outcome: Outcome) -> str | None:
        """The name of the run's commits; the run holds without them too."""
        if not self.progress.commit:
            return None
        try:
            return self.worktree.keep(self.order.id, f"{outcome.state}: {outcome.reason}")
        except Exception as error:
            self.log.say(f"the run's commits could not be kept: {error}")
            return None


def main() -> int:
    home.silence_telemetry()
    folder = Folder(Path(sys.argv[1]))
    # Held as long as this process lives, and not a moment longer.
    held = FileLock(folder.lock, timeout=LOCK_SECONDS)
    try:
        held.acquire()
    except Timeout:
        print(f"{folder.place.name} is being run by another process", file=sys.stderr)
        return 1
    if folder.outcome() is not None:
        return 0
    order = Order.model_validate_json(folder.order.read_bytes())
    # What an attempt before this one has left, when its first process was killed.
    family.kill(order.id)
    os.chdir(order.root)
    folder.put_outcome(Driver(order, folder, int(sys.argv[2])).run())
    return 0


if __name__ == "__main__":
    sys.exit(main())
