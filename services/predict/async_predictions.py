"""Predictions that their callers fetch later (`Prefer: respond-async`, RFC 7240).

Each is two files in the server's folder, so that every worker knows it: `ID.run`, which
the worker that runs it keeps locked, and `ID.json`, the result. The kernel releases the lock of a
worker that ends. Deleting `ID.run` cancels a prediction that still runs.
"""

import asyncio
import fcntl
import hashlib
import logging
import os
import time
from collections.abc import Awaitable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid4

from services.predict.engine import ColumnBatch
from services.predict.loaded_model import LoadedModel
from services.predict.model_store import ServedProject
from services.predict.payload import json_payload
from services.predict.predictor import Headers, Prediction, PredictionRequest, Predictor
from services.web.guard import BEARER
from services.web.problem import Problem

log = logging.getLogger("slipway.predict")

KEPT_SECONDS, KEPT, KEPT_BYTES = 900.0, 256, 2**30
# How soon a deleted prediction stops, and how often old results are removed.
CHECK_SECONDS, CLEAN_SECONDS = 0.2, 60.0
FAILED = Problem(500, "Internal error", "the server failed; its log says why")
STOPPED = Problem(
    503, "Server stopped", "the server was stopped before it responded; send it again"
)
LOST = Problem(503, "Result lost", "the worker that made the prediction ended; send it again")


def prefers_async(headers: Headers) -> bool:
    """Return whether the caller wants to fetch the result later."""
    preferences = headers.get(b"prefer", b"").lower().split(b",")
    return any(each.partition(b";")[0].strip() == b"respond-async" for each in preferences)


def owner_of(headers: Headers) -> str:
    """Return a text for the caller's key: only the same caller may fetch a result."""
    key = headers.get(b"authorization") or headers.get(b"x-api-key") or b""
    if key[: len(BEARER)].lower() == BEARER:
        key = key[len(BEARER) :].strip()
    return hashlib.sha256(key).hexdigest()


class UnknownResult(LookupError):
    """Raised when there is no such result, or it belongs to another caller."""


class TooManyRunning(Exception):
    """Raised when as many predictions as are kept are still running."""


@dataclass(frozen=True)
class RunningPrediction:
    """A prediction that this worker runs; it holds the lock."""

    id: UUID
    descriptor: int

    @property
    def url(self) -> str:
        return f"/v1/predictions/{self.id}"

    @property
    def body(self) -> bytes:
        return _state(self.id, "running")

    def is_deleted(self) -> bool:
        return os.fstat(self.descriptor).st_nlink == 0


class ResultStore:
    """The files of asynchronous predictions, for all workers; its methods block."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def create(self, owner: str) -> RunningPrediction:
        """Return a new running prediction.

        Raises:
            TooManyRunning: all that are kept still run.
            OSError: the disk is full or gone.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        self.clean(room=1)
        if len(list(self.folder.glob("*.run"))) >= KEPT:
            raise TooManyRunning(f"{KEPT} predictions run; come back later")
        id = uuid4()
        # Locked under another name first: an unlocked one would look like that of a dead worker.
        new, final = self.folder / f"{id}.new", self._run(id)
        descriptor = os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        os.write(descriptor, owner.encode())
        new.rename(final)
        return RunningPrediction(id, descriptor)

    def finish(self, running: RunningPrediction, result: bytes) -> None:
        """Keep the result, unless the caller has deleted it; release the lock.

        Raises:
            OSError: the disk is full or gone.
        """
        try:
            if not running.is_deleted():
                new = self.folder / f"{running.id}.json.new"
                new.write_bytes(result)
                new.rename(self._result(running.id))
        finally:
            os.close(running.descriptor)

    def read(self, id: UUID, owner: str) -> bytes | None:
        """Return the result; None while the prediction runs.

        Raises:
            UnknownResult: there is none for this caller.
        """
        try:
            with self._run(id).open("rb") as file:
                if file.read().decode() != owner:
                    raise UnknownResult(str(id))
                runs = _is_locked(file.fileno())
        except FileNotFoundError:
            raise UnknownResult(str(id)) from None
        with suppress(FileNotFoundError):
            return self._result(id).read_bytes()
        return None if runs else _state(id, "failed", b',"problem":%b' % LOST.body())

    def delete(self, id: UUID, owner: str) -> None:
        """Delete the result; a running prediction stops.

        Raises:
            UnknownResult: there is none for this caller.
        """
        self.read(id, owner)
        self._remove(self._run(id))

    def clean(self, *, room: int = 0) -> None:
        """Delete results that are old, or too many or too large together, the oldest first."""
        ended: list[tuple[float, int, Path]] = []
        count = room
        for run in self.folder.glob("*.run"):
            count += 1
            with suppress(FileNotFoundError):
                with run.open("rb") as file:
                    if _is_locked(file.fileno()):
                        continue
                result = run.with_suffix(".json")
                status = (result if result.exists() else run).stat()
                ended.append((status.st_mtime, status.st_size, run))
        size = sum(each[1] for each in ended)
        for modified, own, run in sorted(ended):
            if time.time() - modified < KEPT_SECONDS and count <= KEPT and size <= KEPT_BYTES:
                break
            self._remove(run)
            count, size = count - 1, size - own
        for result in self.folder.glob("*.json*"):
            # A result that came while it was deleted.
            if not self._run(result.name.partition(".")[0]).exists():
                result.unlink(missing_ok=True)

    def _remove(self, run: Path) -> None:
        run.unlink(missing_ok=True)
        run.with_suffix(".json").unlink(missing_ok=True)

    def _run(self, id: UUID | str) -> Path:
        return self.folder / f"{id}.run"

    def _result(self, id: UUID) -> Path:
        return self.folder / f"{id}.json"


def _is_locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False


def _state(id: UUID, state: str, more: bytes = b"") -> bytes:
    head = f'{{"id":"{id}","state":"{state}","url":"/v1/predictions/{id}"'
    return head.encode() + more + b"}"


class _BackgroundRequest:
    """A request whose caller does not wait: it goes on when the caller disconnects."""

    def __init__(self, request: PredictionRequest) -> None:
        self._request, self.headers = request, request.headers
        self.was_read = asyncio.Event()

    async def read(self, served: ServedProject) -> None:
        await self._request.read(served)
        self.was_read.set()

    def choose(self, served: ServedProject) -> LoadedModel:
        return self._request.choose(served)

    def columns(self, model: LoadedModel) -> ColumnBatch | None:
        return self._request.columns(model)

    def records(self, model: LoadedModel) -> Awaitable[bytes]:
        return self._request.records(model)

    def recorded(self) -> bytes:
        return self._request.recorded()

    def disconnected(self) -> Awaitable[object]:
        return asyncio.Event().wait()


class AsyncPredictions:
    """Runs predictions in the background of one worker."""

    def __init__(self, predictor: Predictor, folder: Path) -> None:
        self.predictor, self.store = predictor, ResultStore(folder)
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, name: str, request: PredictionRequest) -> RunningPrediction:
        """Start the prediction once its request is admitted and read.

        Raises:
            Problem: the request is refused, or too many run.
        """
        background = _BackgroundRequest(request)
        prediction = asyncio.create_task(self.predictor.predict(name, background))
        reading = asyncio.create_task(background.was_read.wait())
        await asyncio.wait((prediction, reading), return_when=asyncio.FIRST_COMPLETED)
        reading.cancel()
        if not background.was_read.is_set():
            await prediction
        try:
            running = await asyncio.to_thread(self.store.create, owner_of(request.headers))
        except BaseException as error:
            prediction.cancel()
            if isinstance(error, TooManyRunning):
                raise Problem(503, "Too many predictions", str(error), retry_seconds=10) from None
            if isinstance(error, OSError):
                raise Problem(507, "No room", "the server's disk is full") from error
            raise
        task = asyncio.create_task(self._finish(running, prediction))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return running

    async def _finish(
        self, running: RunningPrediction, prediction: "asyncio.Task[Prediction]"
    ) -> None:
        """Keep the result once it is there; stop when its caller deletes it."""
        try:
            while not prediction.done():
                await asyncio.wait((prediction,), timeout=CHECK_SECONDS)
                if running.is_deleted():
                    prediction.cancel()
        finally:
            prediction.cancel()
            await asyncio.wait((prediction,))
            result = _result(running.id, prediction)
            try:
                await asyncio.to_thread(self.store.finish, running, result)
            except OSError:
                log.exception("the result of an asynchronous prediction is lost")

    async def follow(self) -> None:
        """Remove old results from time to time, until cancelled."""
        while True:
            with suppress(OSError):
                await asyncio.to_thread(self.store.clean)
            await asyncio.sleep(CLEAN_SECONDS)

    async def drain(self, seconds: float) -> None:
        """Wait for the predictions that run, `seconds` at most, then stop them."""
        if self._tasks:
            _, left = await asyncio.wait(set(self._tasks), timeout=seconds)
            for task in left:
                task.cancel()
            if left:
                await asyncio.wait(left)


def _result(id: UUID, prediction: "asyncio.Task[Prediction]") -> bytes:
    if prediction.cancelled():
        problem = STOPPED
    elif error := prediction.exception():
        if not isinstance(error, Problem):
            log.error("an asynchronous prediction failed", exc_info=error)
        problem = error if isinstance(error, Problem) else FAILED
    else:
        return _state(id, "succeeded", b',"response":%b' % json_payload(prediction.result()))
    return _state(id, "failed", b',"problem":%b' % problem.body())
