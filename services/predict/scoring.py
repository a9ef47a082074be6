"""Routes for batch jobs, which score files that are too large for a prediction request."""

import logging
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import FileResponse, JSONResponse, Response

from services.jobs.kind import QueueFull, UnknownJob
from services.predict.batch.formats import TableFormat, TargetFormat, UploadFormat
from services.predict.batch.jobs import Job, Jobs, NoResult
from services.predict.core import Core
from services.web.problem import Problem
from slipway.access.scopes import Scope

log = logging.getLogger("slipway.predict")
SOURCE = "Of the body: a table, or an archive of files (tar may be compressed by gzip)"
TARGET = "Of the result: a table, or an archive with a table and predicted media as files"
PRIVATE = {"model_folder"}  # a path on this machine


def router(core: Core) -> APIRouter:
    """Return the routes of batch jobs."""
    api = APIRouter(tags=["jobs"])
    jobs = Jobs(core.settings.folder / "jobs")
    uploads = core.settings.folder / "uploads"

    @api.post("/v1/models/{name}/jobs", status_code=202)
    async def create(
        name: str,
        request: Request,
        source: Annotated[UploadFormat, Query(description=SOURCE)] = "csv",
        target: Annotated[TargetFormat, Query(description=TARGET)] = "csv",
        rows: Annotated[TableFormat, Query(description="Of the table in a zip result")] = "jsonl",
        keep: Annotated[list[str] | None, Query(description="Columns to pass on")] = None,
    ) -> JSONResponse:
        """Score the table or the archive of files in the body with the current champion."""
        core.admit(request, Scope.SCORE)
        version = core.predictor.project(name).champion.version
        limit = core.settings.upload_bytes
        file = await _receive(request.stream(), uploads, limit)
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
                    rows_format=rows,
                    keep=keep or [],
                )
            )
        except QueueFull as full:
            raise Problem(503, "Too many jobs", str(full), retry_seconds=60) from None
        finally:
            file.unlink(missing_ok=True)
        return JSONResponse(job_fields(job), 202, {"Location": f"/v1/jobs/{job.id}"})

    @api.get("/v1/jobs")
    async def listing(request: Request) -> list[dict[str, Any]]:
        """List every job, with its progress."""
        core.admit(request, Scope.SCORE)
        return [job_fields(job) for job in await run_in_threadpool(jobs.list)]

    @api.get("/v1/jobs/{id}")
    async def get(id: str, request: Request) -> dict[str, Any]:
        """Return one job, with its progress."""
        core.admit(request, Scope.SCORE)
        return job_fields(await _find(lambda: jobs.get(id)))

    @api.get("/v1/jobs/{id}/result")
    async def result(id: str, request: Request) -> Response:
        """Return the scored file."""
        core.admit(request, Scope.SCORE)
        try:
            file = await _find(lambda: jobs.result(id))
        except NoResult as none:
            raise Problem(409, "No result", str(none)) from None
        return FileResponse(file, filename=f"{id}{file.suffix}")

    @api.post("/v1/jobs/{id}/cancel")
    async def cancel(id: str, request: Request) -> dict[str, Any]:
        """Stop the job; what it has scored so far is dropped."""
        core.admit(request, Scope.SCORE)
        return job_fields(await _find(lambda: jobs.cancel(id)))

    @api.delete("/v1/jobs/{id}", status_code=204)
    async def delete(id: str, request: Request) -> Response:
        """Delete the job and its result."""
        core.admit(request, Scope.SCORE)
        await _find(lambda: jobs.delete(id))
        return Response(status_code=204)

    return api


def job_fields(job: Job) -> dict[str, Any]:
    """Return the job as the API shows it."""
    return {**job.model_dump(mode="json", exclude=PRIVATE), "self": f"/v1/jobs/{job.id}"}


async def _find(call: Any) -> Any:
    """Return the result of a call about one job, made in a thread.

    Raises:
        Problem: there is no such job.
    """
    try:
        return await run_in_threadpool(call)
    except UnknownJob as unknown:
        raise Problem(404, "No such job", str(unknown)) from None


async def _receive(parts: AsyncIterator[bytes], folder: Path, limit: int) -> Path:
    """Return a file with the body.

    Raises:
        Problem: the body is over `limit` bytes, or the disk is full.
    """
    folder.mkdir(parents=True, exist_ok=True)
    size = 0
    with tempfile.NamedTemporaryFile(dir=folder, prefix="upload-", delete=False) as file:
        place = Path(file.name)
        try:
            async for part in parts:
                size += len(part)
                if size > limit:
                    message = f"the file must be at most {limit} bytes"
                    raise Problem(413, "File too large", message)
                await run_in_threadpool(file.write, part)
        except OSError as error:
            place.unlink(missing_ok=True)
            raise Problem(507, "No room", "the server's disk is full") from error
        except BaseException:
            place.unlink(missing_ok=True)
            raise
    return place
