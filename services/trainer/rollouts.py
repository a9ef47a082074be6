"""Carries on the rollouts of what was trained, where the trainer hands candidates over.

`slipway rollout watch` does the same by hand; of one project one of them acts at a time.
"""

import logging
import threading

log = logging.getLogger("slipway.trainer")

LOOK_SECONDS = 2.0


class Rollouts:
    """A thread for each rollout that is not over."""

    def __init__(self) -> None:
        self._stopping = threading.Event()
        self._carried: dict[str, threading.Thread] = {}
        self._looking = threading.Thread(target=self._look, name="rollouts", daemon=True)

    def start(self) -> None:
        self._looking.start()

    def stop(self) -> None:
        """They stand still where they are; the next trainer carries them on."""
        self._stopping.set()
        for thread in (self._looking, *self._carried.values()):
            if thread.is_alive():
                thread.join(LOOK_SECONDS + 10)

    def _look(self) -> None:
        # MLflow comes with it: 1.3 s, and 200 MB.
        from slipway import rollout

        while not self._stopping.wait(LOOK_SECONDS):
            try:
                for project in rollout.active():
                    thread = self._carried.get(project)
                    if thread is None or not thread.is_alive():
                        self._carry(project)
            except Exception:
                log.exception("the rollouts could not be listed; tried again")

    def _carry(self, project: str) -> None:
        thread = threading.Thread(
            target=self._run, args=(project,), name=f"rollout of {project}", daemon=True
        )
        self._carried[project] = thread
        thread.start()

    def _run(self, project: str) -> None:
        from slipway import rollout

        try:
            rollout.run(project, stopping=self._stopping, say=log.info)
        except (rollout.Controlled, rollout.NoRollout) as other:
            log.info("rollout of %s: %s", project, other)
        except Exception:
            log.exception("the rollout of %s stopped; it is carried on", project)


def under_way(project: str) -> bool:
    """Whether a version of the project is being rolled out."""
    from slipway import rollout

    return project in rollout.active()
