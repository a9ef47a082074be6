"""The monitor: periodic rounds over all champions, and single checks on request."""

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
from services.monitor.traffic import ComparedRow, Traffic, Watched
from services.monitor.webhook import ActiveAlarm, Alarm, Delivery
from services.monitor.window_sampler import WindowSample
from services.zero_init import initialize_series
from slipway import home
from slipway.files import replace_text

log = logging.getLogger("slipway.monitor")

WAIT_SECONDS = 60.0
_ALARMS = TypeAdapter(list[ActiveAlarm])


class RoundRunning(Exception):
    """Raised when a running round takes longer than a minute."""


class NotServed(LookupError):
    """Raised when no champion has the name."""


class Monitor:
    """The monitor of a process; rounds and requested checks run one at a time."""

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
        self._alarms = _read_alarms(self._alarms_file)
        metrics.INTERVAL.set(settings.interval_seconds)
        initialize_series(metrics.WEBHOOKS, tuple(Delivery))
        # Before the first round its age counts from the start.
        metrics.LAST_ROUND.set(time.time())
        self._restore()

    @property
    def address(self) -> str:
        """The monitor's own URL."""
        return f"http://{self.settings.host}:{home.port('monitor')}"

    def round(self) -> None:
        """Check every champion. An error of one project, or of the registry, does not end it."""
        with self._exclusive():
            self.catalogue.refresh()
            metrics.REGISTRY_REACHABLE.set(self.catalogue.reachable)
            names = list(self.catalogue.champions)
            metrics.PROJECTS.set(len(names))
            for gone in self.latest.keys() - names:
                publishing.forget(gone)
                del self.latest[gone]
            for active in self._alarms:
                self._end_if_gone(active)
            references, faults = self._references(names)
            self._update(references)
            initialize_series(metrics.CHECKS, tuple(names), get_args(Outcome))
            for name in names:
                self._check(name, faults.get(name))
            self.last_round = time.time()
            metrics.LAST_ROUND.set(self.last_round)
            self._notify()

    def check(self, name: str) -> Check:
        """Check one champion now.

        Raises:
            NotServed: there is none of that name.
            Busy: a round did not end within a minute.
        """
        with self._exclusive():
            if name not in self.catalogue.champions:
                self.catalogue.refresh()
            if name not in self.catalogue.champions:
                raise NotServed(name)
            references, faults = self._references(list(self.catalogue.champions))
            self._update(references)
            check = self._check(name, faults.get(name))
            self._notify()
        return check

    def alarms(self, project: str) -> list[ActiveAlarm]:
        """Return the firing alarms of a project."""
        return [each for each in self._alarms if each.project == project and each.firing]

    def _notify(self) -> None:
        """Send the due alarms to the webhook; a failed one is due again the next time."""
        now, settings = time.time(), self.settings
        if not settings.webhook:
            self._alarms = [each for each in self._alarms if each.firing]
            self._write_alarms()
            return
        for each in list(self._alarms):
            if not each.due(now, settings.webhook_repeat_seconds):
                continue
            # An alarm that ended before the receiver took it needs no resolution.
            unsent = not each.firing and each.notified == 0
            if not unsent and not webhook.deliver(each, settings, address=self.address):
                break  # it would not take the others either, and each try may wait for seconds
            each.notified = now
            if not each.firing:
                self._alarms.remove(each)
        self._write_alarms()

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        if not self._working.acquire(timeout=WAIT_SECONDS):
            raise RoundRunning
        try:
            yield
        finally:
            self._working.release()

    def _restore(self) -> None:
        """Show and publish the checks from before a restart until the next check."""
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
        except Exception as error:  # an error of one project must not stop the others
            log.exception("%s: the check failed", name)
            check = self._blank(name, now, "failed", f"{type(error).__name__}: {error}")
        seconds = time.perf_counter() - start
        check = check.model_copy(update={"seconds": round(seconds, 3)})
        metrics.CHECKS.labels(name, check.outcome).inc()
        metrics.CHECK_TIME.labels(name).observe(seconds)
        self.latest[name] = check
        if check.outcome != "failed":
            publishing.publish(check)
        self._append_history(check)
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
        self,
        check: Check,
        watched: Watched,
        windows: list[tuple[WindowCheck, WindowSample[ComparedRow]]],
    ) -> str | None:
        """Write a report if one is due and return its id.

        One is due when drift starts, and `report_seconds` after the last.
        """
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
        except Exception:  # a report that fails must not fail the check
            log.exception("%s: the report was not written", name)
            return None
        return id

    def _append_history(self, check: Check) -> None:
        try:
            self.history.append(check)
        except OSError as error:
            log.error("%s: the history was not written: %s", check.project, error)

    def _end_if_gone(self, active: ActiveAlarm) -> None:
        """End the alarm of a project that has no champion any more."""
        if active.project not in self.catalogue.champions and active.firing:
            active.ended = time.time()

    def _raise_alarms(self, check: Check) -> None:
        """Start and end alarms.

        A check without a judgement leaves them unchanged, unless they belong to another version,
        which is no longer the champion.
        """
        worse = check.performance.worse if check.performance else []
        states: dict[Alarm, tuple[bool, str]] = {
            "drift": (check.drift_alarm, f"drifted: {check.drift_summary()}"),
            "performance": (check.performance_alarm, "; ".join(worse)),
        }
        for alarm, (raised, summary) in states.items():
            active = next(
                (each for each in self.alarms(check.project) if each.alarm == alarm), None
            )
            if active is not None and active.version != check.version:
                active.ended, active = check.time, None
            if raised and active is None:
                self._alarms.append(
                    ActiveAlarm(
                        project=check.project,
                        alarm=alarm,
                        version=check.version,
                        started=check.time,
                        summary=f"{check.project} version {check.version}: {summary}",
                    )
                )
                log.warning("%s: %s alarm: %s", check.project, alarm, summary)
            elif active is not None and not raised and check.outcome == "judged":
                active.ended = check.time
                log.info("%s: %s alarm is over", check.project, alarm)
        self._write_alarms()

    def _write_alarms(self) -> None:
        try:
            self._alarms_file.parent.mkdir(parents=True, exist_ok=True)
            replace_text(self._alarms_file, _ALARMS.dump_json(self._alarms, by_alias=True).decode())
        except OSError as error:
            log.error("alarms were not written: %s", error)


def _read_alarms(file: Path) -> list[ActiveAlarm]:
    try:
        return _ALARMS.validate_json(file.read_bytes())
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        log.warning("%s is damaged and not used: %s", file, error)
        return []


def run(monitor: Monitor, stopping: threading.Event) -> None:
    """Run rounds until `stopping` is set."""
    while not stopping.is_set():
        try:
            monitor.round()
        except Exception:  # the next round may succeed
            log.exception("a round failed")
        stopping.wait(monitor.settings.interval_seconds)
