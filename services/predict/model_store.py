"""The models of one worker: follows the snapshot, loads models on demand and evicts others."""

import asyncio
import gc
import logging
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from pydantic import ValidationError

from services.predict import metrics, snapshot, watch
from services.predict.artifacts import Unsafe
from services.predict.loaded_model import LoadedModel
from services.predict.lookup import Lookups
from services.predict.readiness import LOADED, Readiness
from services.predict.settings import Settings
from services.predict.snapshot import Entry, Snapshot, Version
from services.predict.suspects import report_suspect
from services.web.problem import Problem
from slipway.policy import CHAMPION, SHADOW, Policy
from slipway.registry.copies import DigestMismatch

log = logging.getLogger("slipway.predict")
LOOK_SECONDS = 0.1
# The pause after a fault that is not the snapshot's own, such as too many open files.
RETRY_SECONDS = 2.0
# A poll of a slow registry may take as long.
POLL_SECONDS = 60.0
# How long an old version stays loaded for the requests that chose it before the swap.
LINGER_SECONDS = 30.0


@dataclass
class ServedProject:
    """One project: its models by variant, and the policy that divides its traffic."""

    name: str
    policy: Policy = field(default_factory=Policy)
    models: dict[str, LoadedModel] = field(default_factory=dict)

    @property
    def champion(self) -> LoadedModel:
        return self.models[CHAMPION]


class ModelStore:
    """The models that a worker serves. A version that does not load leaves the previous one.

    It is created and used on the event loop.
    """

    def __init__(self, settings: Settings, readiness: Readiness | None = None) -> None:
        self.settings = settings
        self.readiness = readiness or Readiness()
        self.before_ready: Callable[[], Awaitable[None]] | None = None
        """Awaited once, when the models are loaded and before this worker counts as ready."""
        self.served: dict[str, ServedProject] = {}
        self.paths: dict[str, str] = {}
        """Project names by the path of the prediction endpoint; looked up with every request."""
        self.raw_paths: dict[bytes, str] = {}
        self.faults: dict[str, str] = {}
        self.snapshot = Snapshot()
        self.preloaded = False
        """True if the first models are loaded, as the snapshot had them at that time."""
        self._champions_loaded = False
        self.lookups = Lookups(settings)
        self._seen: object = None
        self._fails_since: float | None = None
        self._started = time.time()
        self._loading: dict[LoadedModel, asyncio.Task[None]] = {}
        # One at a time: each load runs a model.py and counts against the memory budget.
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="load")
        self._retired: list[tuple[float, LoadedModel]] = []

    @property
    def ready(self) -> bool:
        return self.preloaded and bool(self.served)

    @property
    def server_ready(self) -> bool:
        """True if a worker of this server is ready, even if this one still loads its models.

        Any worker answers a readiness probe at once. A probe that waited until a late worker has
        loaded would time out, and the server would count as not ready.
        """
        return bool(self.served) and (self.preloaded or self.readiness.others == LOADED)

    @property
    def not_ready_reason(self) -> str:
        """The reason that the server is not ready, for the caller."""
        if self.snapshot.settled and not self.snapshot.projects:
            return "no champion in the registry; train one: make repro"
        if self.snapshot.settled or self.snapshot.reachable:
            return "the models are being tried out and loaded"
        return "the registry was not reached yet"

    async def follow(self) -> None:
        """Apply every snapshot that the registry sync writes, until cancelled."""
        while True:
            try:
                await self.apply_latest()
                self._fails_since = None
            except ValidationError:
                log.exception("the snapshot is damaged; the served versions stay")
                self._fails_since = self._fails_since or time.time()
            except Exception:
                # Nothing else notices the end of this task: the models would never change again.
                log.exception("the snapshot was not applied; trying again")
                self._seen = None
                self._fails_since = self._fails_since or time.time()
                await asyncio.sleep(RETRY_SECONDS)
            self._unload_retired()
            await asyncio.sleep(LOOK_SECONDS)

    def behind_seconds(self) -> float:
        """Return the seconds for which changes of the registry have not come here; 0 as a rule.

        The registry sync does not poll, or this worker does not apply what it found. A registry
        that does not respond is polled all the same.
        """
        now = time.time()
        if self._fails_since is not None:
            return now - self._fails_since
        try:
            polled = (self.settings.folder / snapshot.POLLED).stat().st_mtime
        except FileNotFoundError:
            polled = self._started
        late = now - polled - self.settings.reload_seconds - POLL_SECONDS
        return max(0.0, late)

    async def apply_latest(self) -> None:
        """Apply the snapshot if it changed since the last time, until there is no newer one.

        Loading takes seconds, in which the registry sync adds projects: a worker that counted as
        ready before it knows them would refuse requests that the others already serve.
        """
        while (current := self._snapshot_id()) not in (None, self._seen):
            self._seen = current
            await self._apply(snapshot.read(self.settings.folder))
        if self._champions_loaded and not self.preloaded:
            if self.before_ready:
                await self.before_ready()
            self.preloaded = True
            self.readiness.reach(LOADED)

    def _snapshot_id(self) -> tuple[int, int] | None:
        """Return an id that changes with every write; None while there is no snapshot."""
        try:
            stat = (self.settings.folder / snapshot.FILE).stat()
        except FileNotFoundError:
            return None
        return stat.st_ino, stat.st_mtime_ns

    async def _apply(self, new: Snapshot) -> None:
        isolated = watch.quarantined(self.settings.folder)
        metrics.REGISTRY_REACHABLE.set(int(new.reachable))
        for name in self.served.keys() - new.projects.keys():
            for model in self.served.pop(name).models.values():
                self._retire(model)
        for name, entry in new.projects.items():
            if self.snapshot.projects.get(name) != entry or name not in self.served:
                await self._apply_project(name, entry, isolated)
        for name in self.faults.keys() - new.faults.keys():
            metrics.FAULTS.labels(name).set(0)
        self.faults = dict(new.faults)
        for name in self.faults:
            metrics.FAULTS.labels(name).set(1)
            if name not in self.served:
                metrics.initialize_not_served(name)
        self.paths = {f"/v1/models/{name}/predict": name for name in self.served}
        self.raw_paths = {path.encode(): name for path, name in self.paths.items()}
        self.snapshot = new
        # While versions are still being tried out, more will come; an unreachable registry adds
        # none.
        complete = new.settled or not new.reachable or len(new.projects) >= self.settings.preload
        if not self._champions_loaded and new.projects and complete:
            await self._preload()

    async def _apply_project(self, name: str, entry: Entry, isolated: set[str]) -> None:
        served = self.served.get(name) or ServedProject(name)
        models: dict[str, LoadedModel] = {}
        for variant, version in entry.versions.items():
            previous = served.models.get(variant)
            if previous and previous.version == version:
                model = previous
            else:
                model = await self._successor(name, variant, version, previous, isolated)
            model.policy = entry.policy
            models[variant] = model
        old = served.models
        # One assignment: a request sees either the old versions or the new ones.
        served.policy, served.models = entry.policy, models
        self.served[name] = served
        metrics.initialize_project(
            name,
            shadow=SHADOW in models,
            looks_up=any(each.entity_key for each in models.values()),
        )
        for variant, model in old.items():
            if models.get(variant) is not model:
                self._retire(model)
        for model in models.values():
            model.report_serving(1)

    async def _successor(
        self,
        name: str,
        variant: str,
        version: Version,
        previous: LoadedModel | None,
        isolated: set[str],
    ) -> LoadedModel:
        """Return a model of the new version, or the previous one if that does not load."""
        model = LoadedModel(
            name, variant, version, self.settings, isolated=version.digest in isolated
        )
        model.policy = previous.policy if previous else Policy()
        if previous and previous.loaded:
            try:
                await self.load(model)  # the previous one serves meanwhile
            except Problem:
                return previous
        return model

    async def _preload(self) -> None:
        """Load the first champions before the server reports ready, so that no caller waits."""
        for served in list(self.served.values())[: self.settings.preload]:
            model = served.champion
            if sum(each.size for each in self._held()) + model.size > self.settings.memory_bytes:
                break
            try:
                await self.load(model)
            except Problem:
                continue
        self._champions_loaded = True

    async def load(self, model: LoadedModel) -> None:
        """Load the model unless it is loaded; concurrent callers share one load.

        Raises:
            Problem: the model does not load, or is larger than the memory budget.
        """
        if model.loaded:
            return
        task = self._loading.get(model)
        if task is None:
            task = asyncio.create_task(self._load(model))
            self._loading[model] = task
            task.add_done_callback(lambda _: self._loading.pop(model, None))
        # A caller who disconnects does not stop the load for the others.
        await asyncio.shield(task)

    async def _load(self, model: LoadedModel) -> None:
        self._make_room(model)
        try:
            async with asyncio.timeout(self.settings.load_seconds):
                await asyncio.get_running_loop().run_in_executor(self._pool, model.load)
        except Exception as error:
            if isinstance(error, TimeoutError):
                # The thread cannot be ended; other models load in a new one.
                self._pool.shutdown(wait=False)
                self._pool = ThreadPoolExecutor(1, thread_name_prefix="load")
            if isinstance(error, DigestMismatch | Unsafe | FileNotFoundError):
                report_suspect(self.settings.folder, model.version.digest)
            metrics.LOAD_FAILURES.labels(model.name).inc()
            log.exception("%s v%s did not load", model.name, model.version.version)
            message = f"{model.name} v{model.version.version} did not load: {type(error).__name__}"
            self.faults[model.name] = message
            raise Problem(503, "Model not loaded", message, retry_seconds=30) from error
        await self.lookups.warm(model)
        model.last_used = time.perf_counter()
        self.faults.pop(model.name, None)
        metrics.LOADED_BYTES.set(sum(each.size for each in self._held()))

    def _held(self) -> list[LoadedModel]:
        every = [model for served in self.served.values() for model in served.models.values()]
        return [model for model in every if model.loaded]

    def _make_room(self, model: LoadedModel) -> None:
        """Evict the least recently used models until `model` fits.

        Raises:
            Problem: the model is larger than the whole memory budget.
        """
        budget = self.settings.memory_bytes
        if model.size > budget:
            message = (
                f"{model.name} takes {model.size / 2**20:.0f} MiB, the budget is "
                f"{budget / 2**20:.0f} MiB; raise SLIPWAY_PREDICT_MEMORY_BYTES"
            )
            raise Problem(503, "Model not loaded", message, retry_seconds=600)
        held = sorted(self._held(), key=lambda each: each.last_used)
        taken = sum(each.size for each in held)
        for old in held:
            if taken + model.size <= budget:
                break
            if old.busy:
                continue
            taken -= old.size
            old.unload()
            # A module and its classes refer to each other: only the collector frees them.
            gc.collect()
            metrics.EVICTIONS.labels(old.name).inc()
            log.info("%s v%s was evicted", old.name, old.version.version)

    def _retire(self, model: LoadedModel) -> None:
        model.report_serving(0)
        self._retired.append((time.monotonic() + LINGER_SECONDS, model))

    def _unload_retired(self) -> None:
        now = time.monotonic()
        for when, model in list(self._retired):
            if when < now and not model.busy:
                model.unload()
                self._retired.remove((when, model))
                gc.collect()

    def update_metrics(self) -> None:
        """Observe the responses since the last update, and how far the registry is ahead."""
        metrics.BEHIND_SECONDS.set(self.behind_seconds())
        for served in self.served.values():
            for model in served.models.values():
                model.update_metrics()

    def close(self) -> None:
        """Unload all models."""
        for model in [*self._held(), *(model for _, model in self._retired)]:
            model.unload()
        self.lookups.close()
        self._pool.shutdown(wait=False, cancel_futures=True)
