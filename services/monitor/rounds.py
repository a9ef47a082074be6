"""The monitor's work: round after round over all champions, and single checks when asked for."""

import logging
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import get_args

from pydantic import TypeAdapter

from services.monitor import metrics, publishing, webhook
from services.monitor.catalogue import Catalogue, NoReference, Reference
from services.monitor.check import Check, Outcome, WindowCheck, look
from services.monitor.history import History
from services.monitor.reports import Reports, render
from services.monitor.settings import Settings
from services.monitor.traffic import Row, Traffic, Watched
from services.monitor.webhook import Alarm, Notice, Standing
from services.nought import from_nought
from slipway import home
from slipway.files import replace_text
from slipway.monitoring.strata import Drawn

log = logging.getLogger("slipway.monitor")

WAIT_SECONDS = 60.0
_STANDING = TypeAdapter(list[Standing])


class Busy(Exception):
    """A round goes on and takes long."""


class NotServed(LookupError):
    """No champion bears the name."""


class Monitor:
    """One for the process; rounds and checks that are asked for wait for each other."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.catalogue = Catalogue(settings)
        self.traffic = Traffic(settings)
        self.history = History(settings.folder / "history", bytes=settings.history_bytes)
        self.reports = Reports(settings.folder / "reports", keep=settings.reports)
        self.latest: dict[str, Check] = {}
        self.last_round = 0.0
        self._working = threading.Lock()
        self._alarms_file = settings.folder / "alarms.json"
        self._alarms = _standing(self._alarms_file)
        metrics.INTERVAL.set(settings.interval_seconds)
        from_nought(metrics.WEBHOOKS, tuple(Notice))
        # Until there was one, its age counts from the start.
        metrics.LAST_ROUND.set(time.time())
        self._recall()

    @property
    def address(self) -> str:
        return f"http://{self.settings.host}:{home.port('monitor')}"

    def round(self) -> None:
        """Look at every champion. No error of one project, or of the registry, ends it."""
        with self._alone():
            self.catalogue.refresh()
            metrics.REGISTRY_REACHABLE.set(self.catalogue.reachable)
            names = list(self.catalogue.champions)
            metrics.PROJECTS.set(len(names))
            for gone in self.latest.keys() - names:
                publishing.forget(gone)
                del self.latest[gone]
            self._alarms = [each for each in self._alarms if self._still(each)]
            references, faults = self._references(names)
            self._update(references)
            from_nought(metrics.CHECKS, tuple(names), get_args(Outcome))
            for name in names:
                self._check(name, faults.get(name))
            self.last_round = time.time()
            metrics.LAST_ROUND.set(self.last_round)
            self._notify()

    def check(self, name: str) -> Check:
        """Look at one champion now.

        Raises:
            NotServed: there is none of that name.
            Busy: a round goes on and did not end within a minute.
        """
        with self._alone():
            if name not in self.catalogue.champions:
                self.catalogue.refresh()
            if name not in self.catalogue.champions:
                raise NotServed(name)
            references, faults = self._references(list(self.catalogue.champions))
            self._update(references)
            check = self._check(name, faults.get(name))
            self._notify()
        return check

    def alarms(self, project: str) -> list[Standing]:
        return [each for each in self._alarms if each.project == project and each.firing]

    def _notify(self) -> None:
        """Tell the webhook what is due; what it does not take is due again the next time."""
        now, settings = time.time(), self.settings
        if not settings.webhook:
            self._alarms = [each for each in self._alarms if each.firing]
            self._keep_alarms()
            return
        for each in list(self._alarms):
            if not each.due(now, settings.webhook_repeat_seconds):
                continue
            # Of an alarm that came and went unheard there is nothing to resolve.
            unheard = not each.firing and each.told == 0
            if not unheard and not webhook.deliver(each, settings, address=self.address):
                break  # nor will it take the others now, and each try may wait for seconds
            each.told = now
            if not each.firing:
                self._alarms.remove(each)
        self._keep_alarms()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        if not self._working.acquire(timeout=WAIT_SECONDS):
            raise Busy
        try:
            yield
        finally:
            self._working.release()

    def _recall(self) -> None:
        """What was found before a restart is shown and told until it is found anew."""
        for name in self.catalogue.champions:
            check = self.history.latest(name)
            if check is not None:
                self.latest[name] = check
                publishing.publish(check)

    def _references(self, names: list[str]) -> tuple[dict[str, Reference], dict[str, str]]:
        found, faults = {}, {}
        for name in names:
            try:
                found[name] = self.catalogue.reference(name)
            except NoReference as fault:
                faults[name] = str(fault)
        return found, faults

    def _update(self, references: dict[str, Reference]) -> None:
        try:
            self.traffic.update(references, time.time())
        except OSError as error:
            log.error("the prediction log cannot be read: %s", error)

    def _check(self, name: str, fault: str | None) -> Check:
        start, now = time.perf_counter(), time.time()
        try:
            check = self._checked(name, fault, now)
        except Exception as error:  # one project's trouble is not the others'
            log.exception("%s: the check failed", name)
            check = self._blank(name, now, "failed", f"{type(error).__name__}: {error}")
        seconds = time.perf_counter() - start
        check = check.model_copy(update={"seconds": round(seconds, 3)})
        metrics.CHECKS.labels(name, check.outcome).inc()
        metrics.CHECK_TIME.labels(name).observe(seconds)
        self.latest[name] = check
        if check.outcome != "failed":
            publishing.publish(check)
        self._keep(check)
        self._raise_alarms(check)
        return check

    def _checked(self, name: str, fault: str | None, now: float) -> Check:
        watched = self.traffic.watched.get(name)
        if fault is not None or watched is None:
            return self._blank(name, now, "no_reference", fault or "the log was not read yet")
        try:
            windows, found, slices = look(watched, self.settings, now)
        except sqlite3.Error as error:
            raise RuntimeError(f"the feedback cannot be read: {error}") from error
        checks = [check for check, _ in windows]
        judged = any(check.judged for check in checks)
        check = self._blank(name, now, "judged" if judged else "too_few_rows", "")
        check = check.model_copy(
            update={
                "windows": checks,
                "performance": found,
                "fairness": slices,
                "left_out": watched.reference.layout.left_out,
            }
        )
        return check.model_copy(update={"report": self._report(check, watched, windows)})

    def _blank(self, name: str, now: float, outcome: Outcome, note: str) -> Check:
        catalogue = self.catalogue
        return Check(
            project=name,
            version=catalogue.champions[name].version,
            time=now,
            seconds=0.0,
            outcome=outcome,
            note=note,
            registry="reached" if catalogue.reachable else f"away: {catalogue.fault}",
        )

    def _report(
        self, check: Check, watched: Watched, windows: list[tuple[WindowCheck, Drawn[Row]]]
    ) -> str | None:
        """Its id, if one was due: when drift starts, and every so often."""
        settings, name = self.settings, check.project
        starts = check.drift_alarm and not any(
            each.alarm == "drift" and each.version == check.version for each in self.alarms(name)
        )
        due = check.time >= self.reports.newest(name) + settings.report_seconds
        judged = [each for each in windows if each[0].judged]
        if not settings.reports or not judged or not (starts or due):
            return None
        window, drawn = max(judged, key=lambda each: len(each[0].drifted))
        layout = watched.reference.layout
        try:
            html = render(
                watched.reference.table,
                layout.table(row.values for row in drawn.rows),
                layout,
                drifted=[each.field for each in window.drifted],
                numbers=settings.numbers,
                categories=settings.categories,
            )
            id = self.reports.write(name, window.window, html, now=check.time)
        except Exception:  # the picture failed, not what it shows
            log.exception("%s: no report was written", name)
            return None
        return id

    def _keep(self, check: Check) -> None:
        try:
            self.history.append(check)
        except OSError as error:
            log.error("%s: the history was not written: %s", check.project, error)

    def _still(self, standing: Standing) -> bool:
        """Alarms of a project that is gone go with it, unless their end is still to be told."""
        if standing.project in self.catalogue.champions or not standing.firing:
            return True
        standing.ended = time.time()
        return True

    def _raise_alarms(self, check: Check) -> None:
        """Start and end alarms. A check that could not judge leaves them as they are, unless they
        speak of another version, which answers no longer."""
        worse = check.performance.worse if check.performance else []
        told: dict[Alarm, tuple[bool, str]] = {
            "drift": (check.drift_alarm, f"drifted: {check.drift_told()}"),
            "performance": (check.performance_alarm, "; ".join(worse)),
        }
        for alarm, (raised, summary) in told.items():
            held = next((each for each in self.alarms(check.project) if each.alarm == alarm), None)
            if held is not None and held.version != check.version:
                held.ended, held = check.time, None
            if raised and held is None:
                self._alarms.append(
                    Standing(
                        project=check.project,
                        alarm=alarm,
                        version=check.version,
                        started=check.time,
                        summary=f"{check.project} version {check.version}: {summary}",
                    )
                )
                log.warning("%s: %s alarm: %s", check.project, alarm, summary)
            elif held is not None and not raised and check.outcome == "judged":
                held.ended = check.time
                log.info("%s: %s alarm is over", check.project, alarm)
        self._keep_alarms()

    def _keep_alarms(self) -> None:
        try:
            self._alarms_file.parent.mkdir(parents=True, exist_ok=True)
            replace_text(self._alarms_file, _STANDING.dump_json(self._alarms).decode())
        except OSError as error:
            log.error("alarms were not kept: %s", error)


def _standing(file: Path) -> list[Standing]:
    try:
        return _STANDING.validate_json(file.read_bytes())
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        log.warning("%s is damaged and not used: %s", file, error)
        return []


def run(monitor: Monitor, stopping: threading.Event) -> None:
    """Rounds until told to stop."""
    while not stopping.is_set():
        try:
            monitor.round()
        except Exception:  # the next round may do better
            log.exception("a round failed")
        stopping.wait(monitor.settings.interval_seconds)
