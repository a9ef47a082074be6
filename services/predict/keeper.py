"""What all workers share, done once, by one process: `python -m services.predict.keeper`.

It follows the registry, fetches, verifies and tries out new versions, and writes the snapshot
that workers serve from; it compacts the prediction log and runs batch jobs. While it is away,
serving goes on.
"""

import contextlib
import logging
import os
import signal
import threading
import time
from pathlib import Path

from filelock import FileLock, Timeout
from pydantic import ValidationError

from services.predict import snapshot
from services.predict.artifacts import Unsafe, fetched, verify
from services.predict.backend import Source
from services.predict.host import Host
from services.predict.settings import Settings
from services.predict.snapshot import Entry, Profile, Snapshot, Version
from services.web import logs
from slipway import policy
from slipway.registry.copies import DigestMismatch

log = logging.getLogger("slipway.keeper")
RETRY_SECONDS = 30.0
COMPACT_SECONDS = 60.0
# Workers come first where they share a core: a look at the registry or a segment to compact takes
# tens of milliseconds.
NICENESS = 10


class Keeper:
    """Follows the registry. A version that fails its try-out leaves the one before in place."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.cache = settings.folder / "models"
        self._known = _last(settings.folder)
        self._verified: set[str] = set()
        # What failed, when and why, by project and version: tried again, but not at once.
        self._failed: dict[tuple[str, str], tuple[float, str]] = {}

    def sync(self) -> None:
        """Ask the registry once, and write the snapshot when something changed.

        Raises:
            Exception: the registry cannot be reached; what is served stays.
        """
        try:
            wanted = self._registered()
        except Exception:
            self._publish(self._known.model_copy(update={"reachable": False}))
            raise
        projects, faults = {}, {}
        known = self._known.projects
        # Those that are here already first: they wait for nobody's try-out.
        for name in sorted(wanted, key=lambda each: (each not in known, each)):
            entry, fault = self._entry(name, *wanted[name])
            if entry.versions:
                projects[name] = entry
            if fault:
                faults[name] = fault
            # Each is served as soon as it is proven.
            self._publish(
                Snapshot(
                    projects={**{key: known[key] for key in known if key in wanted}, **projects},
                    faults=faults,
                    settled=self._known.settled,
                    reachable=True,
                )
            )
        self._publish(Snapshot(projects=projects, faults=faults, settled=True, reachable=True))

    def _publish(self, new: Snapshot) -> None:
        if new != self._known:
            snapshot.write(self.settings.folder, new)
            self._known = new

    def _registered(self) -> dict[str, tuple[dict[str, str], str | None]]:
        """By project: version by variant, and the policy's tag."""
        from slipway.registry import tracking

        registry = tracking.client()
        found = {}
        for model in tracking.every(registry.search_registered_models):
            aliases = {
                variant: str(model.aliases[variant])
                for variant in policy.VARIANTS
                if variant in model.aliases
            }
            if policy.CHAMPION in aliases:
                found[model.name] = (aliases, model.tags.get(policy.TAG))
        return found

    def _entry(self, name: str, aliases: dict[str, str], tag: str | None) -> tuple[Entry, str]:
        before = self._known.projects.get(name, Entry(versions={}))
        versions, said = {}, []
        for variant, number in aliases.items():
            try:
                versions[variant] = self._version(name, number, before)
            except _NotServed as fault:
                said.append(f"{variant} v{number}: {fault}")
                if variant in before.versions:
                    versions[variant] = before.versions[variant]
        if policy.CHAMPION not in versions:
            versions = {}
        chosen = before.policy
        try:
            chosen = policy.read(tag)
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(map(str, first["loc"])) or "policy"
            said.append(f"policy: {field}: {first['msg']}; the one before stays")
        return Entry(versions=versions, policy=chosen), "; ".join(said)

    def _version(self, name: str, number: str, before: Entry) -> Version:
        """Raises _NotServed: with the reason, for whoever asks the server."""
        for known in before.versions.values():
            if known.version == number and self._intact(known):
                return known
        when, reason = self._failed.get((name, number), (0.0, ""))
        if time.monotonic() - when < RETRY_SECONDS and reason:
            raise _NotServed(reason)
        try:
            version = self._proven(name, number)
        except Exception as error:
            reason = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
            log.exception("%s v%s is not served", name, number)
            self._failed[name, number] = (time.monotonic(), reason)
            raise _NotServed(reason) from error
        self._failed.pop((name, number), None)
        return version

    def _intact(self, known: Version) -> bool:
        """Whether what the run before left here is what was registered; looked at once."""
        if known.digest not in self._verified:
            try:
                verify(known.folder, known.digest)
            except (DigestMismatch, Unsafe, OSError) as fault:
                log.error("v%s in %s: %s; fetched again", known.version, known.folder, fault)
                return False
            self._verified.add(known.digest)
        return True

    def _proven(self, name: str, number: str) -> Version:
        from slipway.registry import tracking

        tags = tracking.client().get_model_version(name, number).tags
        wanted = tags.get("digest", "")
        folder = fetched(name, number, wanted, self.cache)
        self._verified.add(wanted)
        notes = folder / f"profile{'-triton' if self.settings.triton else ''}.json"
        try:
            profile = Profile.model_validate_json(notes.read_bytes())
        except (OSError, ValidationError):
            profile = self._tried(Source(name, number, folder, self.settings.triton))
            notes.write_text(profile.model_dump_json())
        log.info("%s v%s is proven: %.1f ms a record", name, number, 1000 * profile.one_seconds)
        return Version(version=number, digest=wanted, folder=folder, profile=profile)

    def _tried(self, source: Source) -> Profile:
        host = Host(
            source, memory=self.settings.model_bytes, batch_rows=self.settings.batch_rows, nice=5
        )
        try:
            told: Profile = host.call("try", None, seconds=self.settings.load_seconds)
            return told
        finally:
            host.kill()


class _NotServed(Exception):
    """Why a version is not served."""


def _last(folder: Path) -> Snapshot:
    """The snapshot of the run before: what it holds was proven then, and is verified on loading."""
    try:
        return snapshot.read(folder).model_copy(update={"reachable": False, "settled": False})
    except ValidationError:
        return Snapshot()


def follow(settings: Settings, stopping: threading.Event) -> None:
    """Ask again and again; a registry that is away is tried again, not given up."""
    keeper, said = Keeper(settings), ""
    kick = settings.folder / "kick"
    seen, eager = _changed(kick), True
    while not stopping.is_set():
        try:
            keeper.sync()
            said = ""
            if eager:
                # The first models are there; of this thread alone, as Linux has it.
                os.nice(NICENESS)
                eager = False
        except Exception as error:
            fault = str(error).splitlines()[0] if str(error) else type(error).__name__
            if fault != said:
                log.warning("registry not reached: %s", fault)
            said = fault
        deadline = time.monotonic() + settings.reload_seconds
        # An admin's change need not wait for the next turn.
        while time.monotonic() < deadline and not stopping.wait(0.05):
            now = _changed(kick)
            if now != seen:
                seen = now
                break


def _changed(file: Path) -> float:
    try:
        return file.stat().st_mtime_ns
    except OSError:
        return 0.0


def kick(settings: Settings) -> None:
    """Have the keeper look now."""
    settings.folder.mkdir(parents=True, exist_ok=True)
    (settings.folder / "kick").touch()


def tidy(settings: Settings, stopping: threading.Event) -> None:
    """Recover what dead workers left of the prediction log, compact it, hold it within limits."""
    from slipway.predictions import compact, reader

    os.nice(NICENESS)
    while not stopping.is_set():
        try:
            reader.recover(settings.records)
            compact.compact(settings.records, seconds=COMPACT_SECONDS)
            gone = compact.retain(
                settings.records, days=settings.log_days, bytes=settings.log_bytes
            )
            if gone.records:
                log.info("%d prediction records went by age or size", gone.records)
        except OSError as error:
            log.warning("prediction log not tidied: %s", error)
        stopping.wait(COMPACT_SECONDS)


def run_jobs(settings: Settings, stopping: threading.Event) -> None:
    """One batch job after another; one that runs when we stop is taken up by the next keeper."""
    from slipway.scoring.jobs import JobRunner, Jobs

    runner = JobRunner(Jobs(settings.folder / "jobs"))

    def end() -> None:
        stopping.wait()
        runner.close()

    threading.Thread(target=end, name="end of jobs").start()
    while not stopping.is_set():
        if not runner.run_next():
            stopping.wait(0.3)


def main() -> None:
    settings = Settings.from_environment()
    logs.configure(settings)
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    settings.folder.mkdir(parents=True, exist_ok=True)
    parent = os.getppid()
    with contextlib.suppress(Timeout), FileLock(settings.folder / "keeper.lock", timeout=0):
        parts = [follow, run_jobs, *([tidy] if settings.log else [])]
        threads = [
            threading.Thread(target=part, args=(settings, stopping), name=part.__name__)
            for part in parts
        ]
        for thread in threads:
            thread.start()
        while not stopping.wait(0.5):
            if os.getppid() != parent or not any(thread.is_alive() for thread in threads):
                stopping.set()
        for thread in threads:
            thread.join(10)


if __name__ == "__main__":
    main()
