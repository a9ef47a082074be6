"""Limits of a batch job: a small file with gigabytes in it, and a model that never ends."""

import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from services.predict.batch.jobs import Job, Jobs
from services.predict.batch.progress import FILE as PROGRESS
from services.predict.batch.progress import Progress
from services.predict.batch.runner import JobRunner, ScoringJobs
from slipway.contract.shipped import Shipped
from slipway.registry.digest import digest
from tests.services.predict.batch.batch_models import ship_model, write_numbers

SLEEPING = '''
"""Does it ever answer?

Data: none.
Task: for tests of limits.
Model: sleeps.
Limits: it knows nothing.
"""

import time

from slipway.contract import Model, Record, publish


class Number(Record):
    number: float


class Sleeper(Model):
    def predict(self, model_input: list[Number]) -> list[Number]:
        time.sleep(3600)
        return model_input


publish(Sleeper())
'''


def queue(jobs: Jobs, model: Shipped, source: Path, kind: str) -> Job:
    """Queue a job that scores the file and keeps its column `id`."""
    return jobs.create(
        project="doubling",
        version="1",
        digest=digest(model.parts),
        model_folder=model.folder,
        source=source,
        source_format=kind,
        target_format="jsonl",
        keep=["id"],
    )


def run(jobs: Jobs, model: Shipped, source: Path, kind: str, **limits: float) -> Job:
    """Run such a job; return it as it ended."""
    job = queue(jobs, model, source, kind)
    assert JobRunner(jobs, **limits).run_next()
    return jobs.get(job.id)


def test_a_file_that_expands_to_gigabytes_fails_within_its_memory(tmp_path: Path) -> None:
    model = ship_model(tmp_path / "model")
    # One text of 64 MB, which 200 rows repeat: Parquet stores it once, compressed to some KB.
    text = pa.array(["x" * 64_000_000])
    repeated = pa.DictionaryArray.from_arrays(np.zeros(200, dtype=np.int32), text)
    table = pa.table({"number": pa.array(np.arange(200.0)), "id": repeated})
    upload = tmp_path / "upload"
    pq.write_table(table, upload, compression="zstd", use_dictionary=["id"])
    assert upload.stat().st_size < 200_000
    ended = run(Jobs(tmp_path / "jobs"), model, upload, "parquet", memory_bytes=1 * 2**30)
    assert ended.state == "failed"
    assert "needs more than 1,073 MB of memory" in str(ended.fault)


def test_an_ordinary_job_fits_into_its_memory(tmp_path: Path) -> None:
    model = ship_model(tmp_path / "model")
    source = write_numbers(tmp_path / "upload", 5000)
    ended = run(Jobs(tmp_path / "jobs"), model, source, "csv", memory_bytes=1 * 2**30)
    assert (ended.state, ended.fault) == ("done", None)


def test_a_job_that_comes_no_further_fails_with_the_reason(tmp_path: Path) -> None:
    model = ship_model(tmp_path / "model", SLEEPING)
    source = write_numbers(tmp_path / "upload", 10)
    ended = run(Jobs(tmp_path / "jobs"), model, source, "csv", stall_seconds=2)
    assert ended.state == "failed"
    assert ended.fault == "made no progress for 2 s"


def test_time_counts_from_the_last_progress(tmp_path: Path) -> None:
    model = ship_model(tmp_path / "model")
    jobs = Jobs(tmp_path / "jobs")
    kind = ScoringJobs(jobs, stall_seconds=0.2)
    job = queue(jobs, model, write_numbers(tmp_path / "upload", 10), "csv")
    work = jobs.place(job.id).work
    work.mkdir()
    stops = []
    for rows in (0, 1, 2, 2):
        progress = Progress(rows=rows, bad=0, bytes=rows, bytes_total=10)
        (work / PROGRESS).write_text(progress.model_dump_json())
        stops.append(kind.must_stop(jobs.get(job.id)))
        time.sleep(0.3)
    assert stops == [False, False, False, True]
