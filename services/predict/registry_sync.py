"""The registry sync: one background process for all workers.

It polls the model registry, fetches, verifies and tries out new versions, and writes the snapshot
that the workers serve from. It also compacts the prediction log and runs batch jobs. The workers
keep serving while it is down. The supervisor runs `python -m services.predict.registry_sync`.
"""

import contextlib
import logging
import os
import signal
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from filelock import FileLock, Timeout
from pydantic import ValidationError

from services.predict import snapshot
from services.predict.artifacts import Unsafe, fetch, verify
from services.predict.backend import VersionFiles
from services.predict.model_process import ModelProcess, stop_fork_server
from services.predict.packages import check_packages, needed_groups
from services.predict.settings import Settings
from services.predict.snapshot import Entry, Profile, Snapshot, Version
from services.predict.suspects import take_suspects
from services.web import logs
from slipway import policy
from slipway.contract import shared_code
from slipway.contract.groups import ServingGroupMissing
from slipway.contract.shipped import Shipped
from slipway.predictions.segment import CLOSED, COMPACTED
from slipway.registry import readers, signatures, tracking
from slipway.registry.copies import DigestMismatch
from slipway.registry.signatures import NotSigned

log = logging.getLogger("slipway.registry_sync")
RETRY_SECONDS = 30.0
# A try-out that takes longer goes on while other projects are looked after.
PATIENCE_SECONDS = 5.0
TRY_OUTS = 2
COMPACT_SECONDS = 60.0
# Workers take precedence on a shared core: polling the registry or compacting a segment takes tens
# of milliseconds.
NICENESS = 10


class RegistrySync:
    """Syncs with the registry. While a version fails its try-out, the previous one stays served."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.cache = settings.folder / "models"
        self._known = _previous_snapshot(settings.folder)
        self._registry = tracking.tracking_uri()
        self._verified: set[str] = set()
        # Failures by project and version: when and why. They are retried, with a delay.
        self._failed: dict[tuple[str, str], tuple[float, str]] = {}
        self._pool = ThreadPoolExecutor(TRY_OUTS, thread_name_prefix="try-out")
        self._pending: dict[tuple[str, str], Future[Version]] = {}

    def sync(self) -> None:
        """Poll the registry once, and write the snapshot if something changed.

        Raises:
            Exception: the registry cannot be reached; the served versions stay.
        """
        try:
            wanted = self._registered()
        except Exception:
            self._publish(self._known.model_copy(update={"reachable": False}))
            raise
        for digest in take_suspects(self.settings.folder):
            self._verified.discard(digest)
        projects, faults = {}, {}
        known, standing = self._known.projects, dict(self._known.faults)
        # Known projects come first, so that they do not wait for the try-out of new ones.
        for name in sorted(wanted, key=lambda each: (each not in known, each)):
            entry, fault = self._entry(name, *wanted[name])
            if entry.versions:
                projects[name] = entry
            standing.pop(name, None)
            if fault:
                faults[name] = fault
            # Publish after each project: it is served as soon as it passed its try-out.
            self._publish(
                Snapshot(
                    projects={**{key: known[key] for key in known if key in wanted}, **projects},
                    faults={**{key: standing[key] for key in standing if key in wanted}, **faults},
                    settled=self._known.settled,
                    reachable=True,
                    registry=self._registry,
                )
            )
        settled = self._known.settled or not self._pending
        self._publish(
            Snapshot(
                projects=projects,
                faults=faults,
                settled=settled,
                reachable=True,
                registry=self._registry,
            )
        )
        if all(each.done() for each in self._pending.values()):
            # It starts again in 0.3 s when the next version needs a try-out.
            stop_fork_server()

    def _publish(self, new: Snapshot) -> None:
        if new != self._known:
            snapshot.write(self.settings.folder, new)
            self._known = new

    def _registered(self) -> dict[str, tuple[dict[str, str], str | None]]:
        """Return by project name the versions by variant, and the value of the policy tag.

        Raises:
            ForeignRegistry: it knows none of the projects that are served.
            Exception: the registry cannot be reached.
        """
        found, names = {}, set()
        for model in readers.reader().models():
            names.add(model.name)
            aliases = {
                variant: model.aliases[variant]
                for variant in policy.VARIANTS
                if variant in model.aliases
            }
            if policy.CHAMPION in aliases:
                found[model.name] = (aliases, model.tags.get(policy.TAG))
        served = self._known.projects.keys()
        # An operator who names another address wants its projects instead.
        if served and not served & names and self._known.registry == self._registry:
            raise ForeignRegistry(
                f"it has none of the {len(served)} served projects, so it is another one or was "
                "emptied; they stay served. To remove a project, delete its champion alias"
            )
        return found

    def _entry(self, name: str, aliases: dict[str, str], tag: str | None) -> tuple[Entry, str]:
        before = self._known.projects.get(name, Entry(versions={}))
        versions, faults = {}, []
        for variant, number in aliases.items():
            try:
                versions[variant] = self._version(name, number, before)
            except _NotServed as fault:
                faults.append(f"{variant} v{number}: {fault}")
                previous = before.versions.get(variant)
                if previous and _is_trusted(name, previous):
                    versions[variant] = previous
        if policy.CHAMPION not in versions:
            versions = {}
        current = before.policy
        try:
            current = policy.read(tag)
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(map(str, first["loc"])) or "policy"
            faults.append(f"policy: {field}: {first['msg']}; the previous policy stays")
        latencies = [each.profile.latency_seconds for each in versions.values()]
        current = policy.for_latency(current, max(latencies, default=0))
        return Entry(versions=versions, policy=current), "; ".join(faults)

    def _version(self, name: str, number: str, before: Entry) -> Version:
        """Return the version, verified and tried out.

        Raises:
            _NotServed: with the reason, which the server reports to clients.
        """
        for known in before.versions.values():
            if known.version == number and self._intact(name, known):
                return known
        when, reason = self._failed.get((name, number), (0.0, ""))
        if time.monotonic() - when < RETRY_SECONDS and reason:
            raise _NotServed(reason)
        pending = self._pending.get((name, number))
        if pending is None:
            pending = self._pool.submit(self._fetch_and_try_out, name, number)
            self._pending[name, number] = pending
        try:
            version = pending.result(PATIENCE_SECONDS)
        except TimeoutError:
            if not pending.done():
                raise _NotServed("it is still being tried out") from None
            # The try-out itself ended with this error.
            raise self._refusal(name, number, pending.exception()) from None
        except Exception as error:
            raise self._refusal(name, number, error) from error
        self._pending.pop((name, number), None)
        self._failed.pop((name, number), None)
        return version

    def _refusal(self, name: str, number: str, error: BaseException | None) -> "_NotServed":
        """Note that a version failed its try-out; return the reason."""
        self._pending.pop((name, number), None)
        message = str(error).splitlines()[0] if str(error) else ""
        known_cause = isinstance(error, ServingGroupMissing | NotSigned)
        reason = message if known_cause else f"{type(error).__name__}: {message}"
        if isinstance(error, NotSigned):
            # Not noted, since it becomes true by a signature, which follows the registration.
            log.error("%s", reason)
            return _NotServed(reason)
        log.error("%s v%s is not served", name, number, exc_info=error)
        self._failed[name, number] = (time.monotonic(), reason)
        return _NotServed(reason)

    def _intact(self, name: str, known: Version) -> bool:
        """Return whether the version of an earlier run can be served as it is; checked once.

        A key that is still trusted must have signed it, its files must match the registered
        digest, and this server must have the packages that it needs and the shared code that it was
        tried out with.
        """
        if known.digest not in self._verified:
            try:
                signatures.check(name, known.version, _signed(known))
                verify(known.folder, known.digest)
                _check_packages(known.profile)
            except (NotSigned, DigestMismatch, Unsafe, ServingGroupMissing, OSError) as fault:
                log.error("v%s in %s: %s; fetched again", known.version, known.folder, fault)
                return False
            if known.profile.code != shared_code.fingerprint(Shipped(known.folder).about):
                log.info("v%s is tried out again: shared code has changed", known.version)
                return False
            self._verified.add(known.digest)
        return True

    def _fetch_and_try_out(self, name: str, number: str) -> Version:
        tags = readers.reader().version(name, number).tags
        signatures.check(name, number, tags)
        wanted = tags.get("digest", "")
        folder = fetch(name, number, wanted, self.cache)
        self._verified.add(wanted)
        shipped = Shipped(folder)
        check_packages(shipped.serving.requires)
        notes = folder / f"profile{'-triton' if self.settings.triton else ''}.json"
        profile = _noted(notes)
        if profile is None or profile.code != shared_code.fingerprint(shipped.about):
            profile = self._try_out(VersionFiles(name, number, folder, self.settings.triton))
            notes.write_text(profile.model_dump_json())
        else:
            _check_packages(profile)  # an image with other packages may have tried it out
        log.info(
            "%s v%s passed its try-out: %.1f ms per record",
            name,
            number,
            1000 * profile.one_seconds,
        )
        return Version(
            version=number,
            digest=wanted,
            signature=tags[signatures.TAG],
            folder=folder,
            profile=profile,
        )

    def _try_out(self, source: VersionFiles) -> Profile:
        process = ModelProcess(
            source, memory=self.settings.model_bytes, batch_rows=self.settings.batch_rows, nice=5
        )
        serving = source.shipped.serving
        # A slow model makes one call after it is loaded; the call may take longer here.
        calls = 2 * serving.latency_seconds if serving.slow else 0
        try:
            profile: Profile = process.call("try", None, seconds=self.settings.load_seconds + calls)
            return profile
        finally:
            process.kill()


def _is_trusted(name: str, known: Version) -> bool:
    """Return whether a version may stay served: a trusted key signed it, or no key in its time."""
    try:
        if known.signature:
            signatures.check(name, known.version, _signed(known))
    except NotSigned:
        return False
    return True


def _signed(known: Version) -> dict[str, str]:
    return {"digest": known.digest, signatures.TAG: known.signature}


class ForeignRegistry(Exception):
    """Raised when the registry knows none of the projects that are served."""


class _NotServed(Exception):
    """Raised when a version cannot be served; the message is the reason."""


def _check_packages(profile: Profile) -> None:
    check_packages(needed_groups(profile.requires, profile.looked_up))


def _noted(notes: Path) -> Profile | None:
    """Return the profile of an earlier try-out, None if there is none of this release."""
    try:
        return Profile.model_validate_json(notes.read_bytes())
    except (OSError, ValidationError):
        return None


def _previous_snapshot(folder: Path) -> Snapshot:
    """Return the snapshot of the previous run; its versions passed, and are verified on loading."""
    try:
        return snapshot.read(folder).model_copy(update={"reachable": False, "settled": False})
    except ValidationError:
        return Snapshot()


def follow_registry(settings: Settings, stopping: threading.Event) -> None:
    """Poll the registry until stopped; when it is unreachable, try again."""
    registry_sync, last_fault = RegistrySync(settings), ""
    kick_file = settings.folder / "kick"
    seen, first = _modified_at(kick_file), True
    while not stopping.is_set():
        try:
            registry_sync.sync()
            last_fault = ""
            if first:
                # Only now, with the first models there. On Linux this affects this thread alone.
                os.nice(NICENESS)
                first = False
        except ForeignRegistry as error:
            fault = str(error)
            if fault != last_fault:
                log.error("the registry is not followed: %s", fault)
            last_fault = fault
        except Exception as error:
            fault = str(error).splitlines()[0] if str(error) else type(error).__name__
            if fault != last_fault:
                log.warning("registry not reached: %s", fault)
            last_fault = fault
        with contextlib.suppress(OSError):
            (settings.folder / snapshot.POLLED).touch()
        deadline = time.monotonic() + settings.reload_seconds
        # A change made through the admin API need not wait for the next poll.
        while time.monotonic() < deadline and not stopping.wait(0.05):
            now = _modified_at(kick_file)
            if now != seen:
                seen = now
                break


def _modified_at(file: Path) -> float:
    try:
        return file.stat().st_mtime_ns
    except OSError:
        return 0.0


def kick(settings: Settings) -> None:
    """Make the registry sync poll the registry now."""
    settings.folder.mkdir(parents=True, exist_ok=True)
    (settings.folder / "kick").touch()


def maintain_log(settings: Settings, stopping: threading.Event) -> None:
    """Recover dead workers' log segments, compact the prediction log, enforce its limits."""
    os.nice(NICENESS)
    while not stopping.is_set():
        try:
            _maintain_log_once(settings)
        except OSError as error:
            log.warning("prediction log not maintained: %s", error)
        except Exception:
            log.exception("prediction log not maintained")
        stopping.wait(COMPACT_SECONDS)


def _maintain_log_once(settings: Settings) -> None:
    from slipway.predictions import reader
    from slipway.predictions.own_clock import own_time

    if not settings.records.is_dir():  # no worker has made it yet
        return
    reader.recover(settings.records)
    if not any(next(settings.records.glob(f"*{each}"), None) for each in (CLOSED, COMPACTED)):
        # Retention reads this clock; it must run from before the first segment is closed.
        own_time(settings.records)
        return
    # pyarrow takes 0.15 s and 10 MiB; a server whose first segment is open needs it not yet.
    from slipway.predictions import compact

    done = compact.compact(settings.records, seconds=COMPACT_SECONDS)
    if done.damaged:
        log.error("%d damaged lines set aside: %s/*.damaged", done.damaged, settings.records)
    removed = compact.retain(settings.records, days=settings.log_days, bytes=settings.log_bytes)
    if removed.records:
        log.info("%d prediction records removed by age or size", removed.records)


def run_jobs(settings: Settings, stopping: threading.Event) -> None:
    """Run batch jobs one by one; a job interrupted by a stop resumes with the next process."""
    from services.predict.batch.jobs import Jobs
    from services.predict.batch.runner import JobRunner

    runner = JobRunner(
        Jobs(settings.folder / "jobs"),
        memory_bytes=settings.job_bytes,
        stall_seconds=settings.job_stall_seconds,
    )

    def close_on_stop() -> None:
        stopping.wait()
        runner.close()

    threading.Thread(target=close_on_stop, name="end of jobs").start()
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
    with contextlib.suppress(Timeout), FileLock(settings.folder / "registry_sync.lock", timeout=0):
        tasks = [follow_registry, run_jobs, *([maintain_log] if settings.log else [])]
        threads = [
            threading.Thread(target=task, args=(settings, stopping), name=task.__name__)
            for task in tasks
        ]
        for thread in threads:
            thread.start()
        while not stopping.wait(0.5):
            # A task that has ended alone takes the others along: they are started again together.
            if os.getppid() != parent or not all(thread.is_alive() for thread in threads):
                stopping.set()
        for thread in threads:
            thread.join(10)


if __name__ == "__main__":
    main()
