"""Files that are too large for a request, scored as jobs: sent, followed, fetched."""

import logging
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import FastAPI, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import FileResponse, JSONResponse, Response

from services.predict.pages import allow
from services.web.problem import Problem
from slipway.access.scopes import Scope
from slipway.scoring.jobs import Job, Jobs, NoResult, QueueFull, UnknownJob
from slipway.scoring.tables import Format

if TYPE_CHECKING:
    from services.predict.app import App

log = logging.getLogger("slipway.predict")
WHOSE = {"model_folder"}  # a path of this machine is nobody's business


def add(app: FastAPI, server: "App") -> None:
    jobs = Jobs(server.settings.folder / "jobs")
    uploads = server.settings.folder / "uploads"

    @app.post("/v1/models/{name}/jobs", tags=["jobs"], status_code=202)
    async def create(
        name: str,
        request: Request,
        source: Annotated[Format, Query(description="Of the body")] = "csv",
        target: Annotated[Format, Query(description="Of the result")] = "csv",
        keep: Annotated[list[str] | None, Query(description="Columns to pass on")] = None,
    ) -> JSONResponse:
        """Score the file in the body, of any size, by the champion of now."""
        allow(server, request, Scope.SCORE)
        version = server.predict.served(name).champion.version
        limit = server.settings.upload_bytes
        file = await _received(request.stream(), uploads, limit)
        try:
            job = await run_in_threadpool(
                lambda: jobs.create(
                    project=name,
                    version=version.version,
                    digest=version.digest,
                    model_folder=version.folder,
                    source=file,
                    source_format=source,
                    target_format=target,
                    keep=keep or [],
                )
            )
        except QueueFull as full:
            raise Problem(503, "Too many jobs", str(full), retry_seconds=60) from None
        finally:
            file.unlink(missing_ok=True)
        return JSONResponse(told(job), 202, {"Location": f"/v1/jobs/{job.id}"})

    @app.get("/v1/jobs", tags=["jobs"])
    async def listing(request: Request) -> list[dict[str, Any]]:
        """Every job, with its progress."""
        allow(server, request, Scope.SCORE)
        return [told(job) for job in await run_in_threadpool(jobs.list)]

    @app.get("/v1/jobs/{id}", tags=["jobs"])
    async def get(id: str, request: Request) -> dict[str, Any]:
        """One job, with its progress."""
        allow(server, request, Scope.SCORE)
        return told(await _known(lambda: jobs.get(id)))

    @app.get("/v1/jobs/{id}/result", tags=["jobs"])
    async def result(id: str, request: Request) -> Response:
        """The scored file."""
        allow(server, request, Scope.SCORE)
        try:
            file = await _known(lambda: jobs.result(id))
        except NoResult as none:
            raise Problem(409, "No result", str(none)) from None
        return FileResponse(file, filename=f"{id}{file.suffix}")

    @app.post("/v1/jobs/{id}/cancel", tags=["jobs"])
    async def cancel(id: str, request: Request) -> dict[str, Any]:
        """Stop it; what it has scored so far is dropped."""
        allow(server, request, Scope.SCORE)
        return told(await _known(lambda: jobs.cancel(id)))

    @app.delete("/v1/jobs/{id}", tags=["jobs"], status_code=204)
    async def delete(id: str, request: Request) -> Response:
        """Forget it and its result."""
        allow(server, request, Scope.SCORE)
        await _known(lambda: jobs.delete(id))
        return Response(status_code=204)


def told(job: Job) -> dict[str, Any]:
    return {**job.model_dump(mode="json", exclude=WHOSE), "self": f"/v1/jobs/{job.id}"}


async def _known(asking: Any) -> Any:
    """Raises Problem: there is no such job."""
    try:
        return await run_in_threadpool(asking)
    except UnknownJob as unknown:
        raise Problem(404, "No such job", str(unknown)) from None


async def _received(parts: AsyncIterator[bytes], folder: Path, limit: int) -> Path:
    """The body as a file.

    Raises:
        Problem: it is over `limit` bytes, or the disk is full.
    """
    folder.mkdir(parents=True, exist_ok=True)
    size = 0
    with tempfile.NamedTemporaryFile(dir=folder, prefix="upload-", delete=False) as file:
        place = Path(file.name)
        try:
            async for part in parts:
                size += len(part)
                if size > limit:
                    told = f"the file must be at most {limit} bytes"
                    raise Problem(413, "File too large", told)
                await run_in_threadpool(file.write, part)
        except OSError as error:
            place.unlink(missing_ok=True)
            raise Problem(507, "No room", "the server's disk takes no more") from error
        except BaseException:
            place.unlink(missing_ok=True)
            raise
    return place
