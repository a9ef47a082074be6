"""The models of one worker: it follows the snapshot, loads what is asked for, evicts the rest."""

import asyncio
import gc
import logging
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from pydantic import ValidationError

from services.predict import metrics, snapshot, watch
from services.predict.lookup import Lookups
from services.predict.readiness import LOADED, Readiness
from services.predict.settings import Settings
from services.predict.snapshot import Entry, Snapshot, Version
from services.predict.unit import Unit
from services.web.problem import Problem
from slipway.policy import CHAMPION, SHADOW, Policy

log = logging.getLogger("slipway.predict")
LOOK_SECONDS = 0.1
# After a fault that is not the snapshot's own, such as too many open files.
RETRY_SECONDS = 2.0
# So long an old version stays loaded for the requests that chose it before the swap.
LINGER_SECONDS = 30.0


@dataclass
class Served:
    """One project: its versions by variant, and how its traffic is divided."""

    name: str
    policy: Policy = field(default_factory=Policy)
    units: dict[str, Unit] = field(default_factory=dict)

    @property
    def champion(self) -> Unit:
        return self.units[CHAMPION]


class Fleet:
    """Made and used on the event loop. A version that will not load leaves the one before."""

    def __init__(self, settings: Settings, readiness: Readiness | None = None) -> None:
        self.settings = settings
        self.readiness = readiness or Readiness()
        self.before_ready: Callable[[], Awaitable[None]] | None = None
        """Awaited once, when the models are loaded and before this worker counts as such."""
        self.served: dict[str, Served] = {}
        self.paths: dict[str, str] = {}
        """Of the prediction endpoints, to the projects' names: looked up with every request."""
        self.raw_paths: dict[bytes, str] = {}
        self.faults: dict[str, str] = {}
        self.snapshot = Snapshot()
        self.preloaded = False
        """The first models are loaded, as the snapshot had them when that was done."""
        self._champions_loaded = False
        self.lookups = Lookups(settings)
        self._seen: object = None
        self._loading: dict[Unit, asyncio.Task[None]] = {}
        # One at a time: a model.py runs while it loads, and the budget is counted.
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="load")
        self._retired: list[tuple[float, Unit]] = []

    @property
    def ready(self) -> bool:
        return self.preloaded and bool(self.served)

    @property
    def server_ready(self) -> bool:
        """Whether models answer: this worker's, or another worker's while this one still loads.

        A probe is answered at once by any worker. It would give up, and the server count as not
        ready, long before a worker that came later has loaded.
        """
        return bool(self.served) and (self.preloaded or self.readiness.others == LOADED)

    @property
    def not_ready_reason(self) -> str:
        """Why the server is not ready."""
        if self.snapshot.settled and not self.snapshot.projects:
            return "no champion in the registry; train one: make repro"
        if self.snapshot.settled or self.snapshot.reachable:
            return "the models are being tried out and loaded"
        return "the registry was not reached yet"

    async def follow(self) -> None:
        """Until cancelled: take up every snapshot that the keeper writes."""
        while True:
            try:
                await self.look()
            except ValidationError:
                log.exception("the snapshot is damaged; what is served stays")
            except Exception:
                # Nobody else would notice the end of this task: the models would stay as they are.
                log.exception("the snapshot was not followed; tried again")
                self._seen = None
                await asyncio.sleep(RETRY_SECONDS)
            self._bury()
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """Take up the snapshot if it is another than the last time, until there is none newer.

        Loading takes seconds, in which the keeper adds projects: a worker that counted as ready
        before it knows them would refuse what the others already answer.
        """
        while (found := self._snapshot_id()) not in (None, self._seen):
            self._seen = found
            await self._take_up(snapshot.read(self.settings.folder))
        if self._champions_loaded and not self.preloaded:
            if self.before_ready:
                await self.before_ready()
            self.preloaded = True
            self.readiness.reach(LOADED)

    def _snapshot_id(self) -> tuple[int, int] | None:
        """Changes with every writing; None while there is no snapshot."""
        try:
            stat = (self.settings.folder / snapshot.FILE).stat()
        except FileNotFoundError:
            return None
        return stat.st_ino, stat.st_mtime_ns

    async def _take_up(self, new: Snapshot) -> None:
        isolated = watch.quarantined(self.settings.folder)
        metrics.REGISTRY_REACHABLE.set(int(new.reachable))
        for name in self.served.keys() - new.projects.keys():
            for unit in self.served.pop(name).units.values():
                self._retire(unit)
        for name, entry in new.projects.items():
            if self.snapshot.projects.get(name) != entry or name not in self.served:
                await self._follow_project(name, entry, isolated)
        for name in self.faults.keys() - new.faults.keys():
            metrics.FAULTS.labels(name).set(0)
        self.faults = dict(new.faults)
        for name in self.faults:
            metrics.FAULTS.labels(name).set(1)
            if name not in self.served:
                metrics.not_served(name)
        self.paths = {f"/v1/models/{name}/predict": name for name in self.served}
        self.raw_paths = {path.encode(): name for path, name in self.paths.items()}
        self.snapshot = new
        # While versions are still being tried out, more will come; a registry that is away adds
        # none.
        whole = new.settled or not new.reachable or len(new.projects) >= self.settings.preload
        if not self._champions_loaded and new.projects and whole:
            await self._preload()

    async def _follow_project(self, name: str, entry: Entry, isolated: set[str]) -> None:
        served = self.served.get(name) or Served(name)
        units: dict[str, Unit] = {}
        for variant, version in entry.versions.items():
            before = served.units.get(variant)
            if before and before.version == version:
                unit = before
            else:
                unit = await self._succeeding(name, variant, version, before, isolated)
            unit.policy = entry.policy
            units[variant] = unit
        old = served.units
        # One assignment: a request sees either the versions before or those after.
        served.policy, served.units = entry.policy, units
        self.served[name] = served
        metrics.serves(
            name,
            shadow=SHADOW in units,
            looks_up=any(each.entity for each in units.values()),
        )
        for variant, unit in old.items():
            if units.get(variant) is not unit:
                self._retire(unit)
        for unit in units.values():
            unit.serving(1)

    async def _succeeding(
        self, name: str, variant: str, version: Version, before: Unit | None, isolated: set[str]
    ) -> Unit:
        unit = Unit(name, variant, version, self.settings, isolated=version.digest in isolated)
        unit.policy = before.policy if before else Policy()
        if before and before.loaded:
            try:
                await self.load(unit)  # the one before answers meanwhile
            except Problem:
                return before
        return unit

    async def _preload(self) -> None:
        """Before the server calls itself ready: the first callers should not wait."""
        for served in list(self.served.values())[: self.settings.preload]:
            unit = served.champion
            if sum(each.size for each in self._held()) + unit.size > self.settings.memory_bytes:
                break
            try:
                await self.load(unit)
            except Problem:
                continue
        self._champions_loaded = True

    async def load(self, unit: Unit) -> None:
        """Load the unit unless it is; callers that come together share one loading.

        Raises:
            Problem: it will not load, or is larger than the budget.
        """
        if unit.loaded:
            return
        task = self._loading.get(unit)
        if task is None:
            task = asyncio.create_task(self._load(unit))
            self._loading[unit] = task
            task.add_done_callback(lambda _: self._loading.pop(unit, None))
        # A caller who goes away does not stop the loading for the others.
        await asyncio.shield(task)

    async def _load(self, unit: Unit) -> None:
        self._make_room(unit)
        try:
            async with asyncio.timeout(self.settings.load_seconds):
                await asyncio.get_running_loop().run_in_executor(self._pool, unit.load)
        except Exception as error:
            if isinstance(error, TimeoutError):
                # Its thread cannot be ended; the others load in a new one.
                self._pool.shutdown(wait=False)
                self._pool = ThreadPoolExecutor(1, thread_name_prefix="load")
            metrics.LOAD_FAILURES.labels(unit.name).inc()
            log.exception("%s v%s did not load", unit.name, unit.version.version)
            told = f"{unit.name} v{unit.version.version} did not load: {type(error).__name__}"
            self.faults[unit.name] = told
            raise Problem(503, "Model not loaded", told, retry_seconds=30) from error
        await self.lookups.warm(unit)
        unit.used = time.perf_counter()
        self.faults.pop(unit.name, None)
        metrics.LOADED_BYTES.set(sum(each.size for each in self._held()))

    def _held(self) -> list[Unit]:
        every = [unit for served in self.served.values() for unit in served.units.values()]
        return [unit for unit in every if unit.loaded]

    def _make_room(self, unit: Unit) -> None:
        """Raises Problem: the model does not fit into the budget at all."""
        budget = self.settings.memory_bytes
        if unit.size > budget:
            told = (
                f"{unit.name} takes {unit.size / 2**20:.0f} MiB, the budget is "
                f"{budget / 2**20:.0f} MiB; raise SLIPWAY_PREDICT_MEMORY_BYTES"
            )
            raise Problem(503, "Model not loaded", told, retry_seconds=600)
        held = sorted(self._held(), key=lambda each: each.used)
        taken = sum(each.size for each in held)
        for old in held:
            if taken + unit.size <= budget:
                break
            if old.busy_now:
                continue
            taken -= old.size
            old.unload()
            # A module and its classes refer to each other: only the collector frees them.
            gc.collect()
            metrics.EVICTIONS.labels(old.name).inc()
            log.info("%s v%s gave way", old.name, old.version.version)

    def _retire(self, unit: Unit) -> None:
        unit.serving(0)
        self._retired.append((time.monotonic() + LINGER_SECONDS, unit))

    def _bury(self) -> None:
        now = time.monotonic()
        for when, unit in list(self._retired):
            if when < now and not unit.busy_now:
                unit.unload()
                self._retired.remove((when, unit))
                gc.collect()

    def close(self) -> None:
        for unit in [*self._held(), *(unit for _, unit in self._retired)]:
            unit.unload()
        self.lookups.close()
        self._pool.shutdown(wait=False, cancel_futures=True)
