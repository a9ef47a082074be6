"""Control the rollouts of trained versions, if the trainer starts rollouts.

`slipway rollout watch` does the same from a terminal; only one controller acts for a project.
"""

import logging
import threading

log = logging.getLogger("slipway.trainer")

LOOK_SECONDS = 2.0


class Rollouts:
    """Runs a thread for each rollout that is not over."""

    def __init__(self) -> None:
        self._stopping = threading.Event()
        self._controllers: dict[str, threading.Thread] = {}
        self._discovery = threading.Thread(target=self._discover, name="rollouts", daemon=True)

    def start(self) -> None:
        """Start to look for rollouts."""
        self._discovery.start()

    def stop(self) -> None:
        """Stop the threads; rollouts pause where they are, and the next trainer resumes them."""
        self._stopping.set()
        for thread in (self._discovery, *self._controllers.values()):
            if thread.is_alive():
                thread.join(LOOK_SECONDS + 10)

    def _discover(self) -> None:
        # This imports MLflow: 1.3 s and 200 MB.
        from services import rollout

        while not self._stopping.wait(LOOK_SECONDS):
            try:
                for project in rollout.active():
                    thread = self._controllers.get(project)
                    if thread is None or not thread.is_alive():
                        self._control(project)
            except Exception:
                log.exception("rollouts could not be listed; will retry")

    def _control(self, project: str) -> None:
        thread = threading.Thread(
            target=self._run, args=(project,), name=f"rollout of {project}", daemon=True
        )
        self._controllers[project] = thread
        thread.start()

    def _run(self, project: str) -> None:
        from services import rollout

        try:
            rollout.run(project, stopping=self._stopping, report=log.info)
        except (rollout.AlreadyControlled, rollout.NoRollout) as other:
            log.info("rollout of %s: %s", project, other)
        except Exception:
            log.exception("the rollout of %s stopped; it will be resumed", project)


def under_way(project: str) -> bool:
    """Return whether a rollout of the project is under way."""
    from services import rollout

    return project in rollout.active()
