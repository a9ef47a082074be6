"""Train the starters one at a time, the quick ones first, while the services run."""

from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

from infra.local.progress import StageProgress
from slipway.processes import Children
from slipway.project import Project
from slipway.projects import measured
from slipway.registry.reregister import is_missing, message
from slipway.repro import dvc_environment, leaderboard, python, train
from slipway.stage_events import TAIL_LINES, Training


def quick_first(projects: Iterable[Project]) -> list[Project]:
    """Order by measured training time: projects without a time after others, torch projects
    last."""
    known = measured.read()

    def cost(project: Project) -> tuple[bool, bool, float, str]:
        figures = known.get(project.name)
        seconds = figures.fit_seconds if figures else 0.0
        return project.params.environment == "torch", figures is None, seconds, project.name

    return sorted(projects, key=cost)


class StarterTraining:
    """The training of the starters, in a thread of its own."""

    def __init__(self, projects: Sequence[Project], shown: StageProgress) -> None:
        self._projects, self._shown = projects, shown
        self._children = Children()
        self._pool = ThreadPoolExecutor(max_workers=1)
        self._future: Future[None] | None = None
        self.registered: list[str] = []
        """Projects whose last run is in the registry, in order of registration."""
        self.failed: list[str] = []
        self.changed = False
        """True if a project was trained or registered again."""

    def start(self) -> None:
        self._future = self._pool.submit(self._train_all)

    def stop(self) -> None:
        """Stop the running training with all its processes, and start no more."""
        self._children.stop()
        self._pool.shutdown(wait=True)

    @property
    def running(self) -> bool:
        return self._future is not None and not self._future.done()

    def result(self) -> None:
        """Wait for the training. Raises the error that ended it early, if any."""
        if self._future is not None:
            self._future.result()
        self._pool.shutdown()

    def _train_all(self) -> None:
        for project in self._projects:
            training = self._registered(project, train(project, self._shown, self._children))
            self.changed = self.changed or bool(training.stages)
            (self.failed if training.failed else self.registered).append(project.name)
        if not self.failed:
            leaderboard(self._shown, self._children)

    def _registered(self, project: Project, training: Training) -> Training:
        """Register the project again where DVC did not, and the registry lacks its run."""
        if training.failed or "register" in training.stages:
            return training
        try:
            missing = is_missing(project)
        except Exception as error:  # one project's error: the others are still trained
            return self._fail(training, [f"{type(error).__name__}: {error}"])
        if not missing:
            return training
        self._shown.say(message(project))
        lines: list[str] = []
        status = python(
            *("-m", "slipway", "register"),
            tell=lines.append,
            folder=project.folder,
            environment=dvc_environment(),
            children=self._children,
        )
        if status:
            return self._fail(training, lines or [f"slipway register ended with status {status}"])
        return replace(training, stages=(*training.stages, "register"))

    def _fail(self, training: Training, lines: list[str]) -> Training:
        reason = lines[-1].removeprefix("slipway: ")
        failed = replace(training, reason=reason, tail=tuple(lines[-TAIL_LINES:]))
        self._shown.ended(failed)
        return failed
