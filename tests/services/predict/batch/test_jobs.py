"""Batch scoring jobs: queue, cancellation, resumption and failures."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

from services.jobs.kind import QueueFull, UnknownJob
from services.predict.batch.jobs import Jobs, NoResult
from services.predict.batch.runner import JobRunner
from slipway.contract.shipped import Shipped
from slipway.registry.digest import digest
from tests.conftest import ROOT
from tests.services.predict.batch.batch_models import (
    read_csv,
    read_json_lines,
    ship_model,
    write_numbers,
)
from tests.waiting import PATIENCE, until


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Shipped:
    return ship_model(tmp_path_factory.mktemp("model"))


def create_job(jobs: Jobs, model: Shipped, source: Path, **more):
    arguments = {"project": "doubling", "version": "1", "digest": digest(model.parts), **more}
    return jobs.create(
        model_folder=model.folder,
        source=source,
        source_format="csv",
        target_format=arguments.pop("target_format", "csv"),
        keep=["id"],
        **arguments,
    )


def test_a_job_goes_from_queued_to_done(model: Shipped, tmp_path: Path):
    jobs = Jobs(tmp_path / "jobs")
    upload = write_numbers(tmp_path / "upload", 1234)
    job = create_job(jobs, model, upload, target_format="jsonl")
    assert not upload.exists()
    assert jobs.get(job.id).state == "queued"
    with pytest.raises(NoResult, match="it is queued"):
        jobs.result(job.id)
    runner = JobRunner(jobs)
    assert runner.run_next() is True
    assert runner.run_next() is False
    done = Jobs(tmp_path / "jobs").get(job.id)
    assert (done.state, done.attempts, done.fault) == ("done", 1, None)
    assert done.progress.rows == 1234
    assert done.created <= done.started <= done.ended
    assert len(read_json_lines(jobs.result(job.id))) == 1234
    kept = sorted(each.name for each in jobs.place(job.id).folder.iterdir())
    assert kept == ["job.json", "log.txt", "result.jsonl"]
    assert [each.id for each in jobs.list()] == [job.id]
    jobs.delete(job.id)
    assert [each.name for each in (tmp_path / "jobs").iterdir()] == ["lock"]


def test_the_oldest_job_runs_first_and_the_queue_is_limited(model: Shipped, tmp_path: Path):
    jobs = Jobs(tmp_path / "jobs", max_waiting=2)
    first, second = (create_job(jobs, model, write_numbers(tmp_path / "up", 10)) for _ in range(2))
    upload = write_numbers(tmp_path / "up", 10)
    with pytest.raises(QueueFull, match="2 jobs are queued"):
        create_job(jobs, model, upload)
    assert upload.is_file()
    assert JobRunner(jobs).run_next()
    assert [jobs.get(each.id).state for each in (first, second)] == ["done", "queued"]
    create_job(jobs, model, upload)


@pytest.mark.parametrize(
    "id",
    ["", ".", "..", "../jobs", "lock", "a" * 36, "{0}/../{0}", "{0}/work", "/etc", "{0}\n", "{1}"],
)
def test_other_ids_are_unknown(model: Shipped, tmp_path: Path, id: str):
    jobs = Jobs(tmp_path / "jobs")
    job = create_job(jobs, model, write_numbers(tmp_path / "up", 1))
    for method in (jobs.get, jobs.cancel, jobs.delete, jobs.result):
        with pytest.raises(UnknownJob):
            method(id.format(job.id, job.id.upper()))
    with pytest.raises(UnknownJob):
        jobs.get("00000000-0000-4000-8000-000000000000")
    assert jobs.get(job.id).state == "queued"


class RunnerThread:
    """Runs `run_next` in a thread, as the server does."""

    def __init__(self, jobs: Jobs) -> None:
        self.runner = JobRunner(jobs)
        self.thread = threading.Thread(target=self.runner.run_next)
        self.thread.start()

    def child(self) -> psutil.Process:
        until(lambda: self.runner.processes)
        return psutil.Process(self.runner.processes[0].pid)

    def close(self) -> None:
        self.runner.close()
        self.thread.join(PATIENCE)
        assert not self.thread.is_alive()


def parts(jobs: Jobs, id: str) -> dict[Path, int]:
    return {file: file.stat().st_mtime_ns for file in jobs.place(id).work.glob("part-*.parquet")}


# The least time in seconds that the slow model takes for 500,000 rows.
FULL_RUN_SECONDS = 25


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Shipped:
    return ship_model(tmp_path_factory.mktemp("slow") / "model", pause=0.05)


def test_a_running_job_is_cancelled_immediately(slow: Shipped, tmp_path: Path):
    jobs = Jobs(tmp_path / "jobs")
    job = create_job(jobs, slow, write_numbers(tmp_path / "up", 500_000))
    waiting = create_job(jobs, slow, write_numbers(tmp_path / "up", 10))
    running = RunnerThread(jobs)
    until(lambda: jobs.get(job.id).progress)
    child = running.child()
    assert child.nice() == min(19, os.nice(0) + 10)
    assert jobs.get(job.id).state == "running"
    # With another object, as from another process.
    assert Jobs(tmp_path / "jobs").cancel(job.id).state == "cancelled"
    running.thread.join(FULL_RUN_SECONDS - 5)
    assert not running.thread.is_alive()
    assert not child.is_running()
    now = jobs.get(job.id)
    assert (now.state, now.fault) == ("cancelled", None)
    assert now.progress.rows > 0
    assert not jobs.place(job.id).source(now).exists()
    assert jobs.cancel(waiting.id).state == "cancelled"
    assert not jobs.place(waiting.id).source(waiting).exists()
    assert running.runner.run_next() is False


def test_a_running_job_can_be_deleted(slow: Shipped, tmp_path: Path):
    jobs = Jobs(tmp_path / "jobs")
    job = create_job(jobs, slow, write_numbers(tmp_path / "up", 500_000))
    running = RunnerThread(jobs)
    until(lambda: jobs.get(job.id).progress)
    child = running.child()
    jobs.delete(job.id)
    running.thread.join(FULL_RUN_SECONDS - 5)
    assert not running.thread.is_alive()
    assert not child.is_running()
    with pytest.raises(UnknownJob):
        jobs.get(job.id)


def test_a_new_runner_resumes_the_job_of_a_closed_one(
    model: Shipped, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Two of three parts are done when a row blocks the third, with both runners."""
    block, blocked_pid = tmp_path / "block", tmp_path / "blocked_pid"
    monkeypatch.setenv("BLOCK_FILE", str(block))
    monkeypatch.setenv("BLOCKED_PID", str(blocked_pid))
    jobs = Jobs(tmp_path / "jobs")
    upload = write_numbers(tmp_path / "up", 22_999)
    with upload.open("a") as stream:
        stream.write("row 22999,668\n")
    job = create_job(jobs, model, upload)
    block.touch()
    blocked_pid.touch()

    def start_until_blocked() -> RunnerThread:
        running = RunnerThread(jobs)
        child = str(running.child().pid)
        until(lambda: blocked_pid.read_text() == child)
        return running

    running = start_until_blocked()
    finished = parts(jobs, job.id)
    assert len(finished) == 2
    # Closing does not wait for the row.
    running.close()
    assert running.runner.run_next() is False
    assert (jobs.get(job.id).state, jobs.get(job.id).attempts) == ("queued", 0)
    again = start_until_blocked()
    assert parts(jobs, job.id) == finished
    # As when all processes of the server get a signal: the runner decides, not its child.
    again.child().send_signal(signal.SIGTERM)
    again.child().send_signal(signal.SIGINT)
    block.unlink()
    again.thread.join(PATIENCE)
    assert (jobs.get(job.id).state, jobs.get(job.id).attempts) == ("done", 1)
    rows = read_csv(jobs.result(job.id))
    assert [row["id"] for row in rows] == [f"row {n}" for n in range(23_000)]


RUNNER = """
import sys
from pathlib import Path
from services.predict.batch.jobs import Jobs
from services.predict.batch.runner import JobRunner
JobRunner(Jobs(Path(sys.argv[1]))).run_next()
"""


def test_a_job_fails_when_its_runner_is_killed_three_times(slow: Shipped, tmp_path: Path):
    jobs = Jobs(tmp_path / "jobs")
    job = create_job(jobs, slow, write_numbers(tmp_path / "up", 500_000))
    for attempt in (1, 2, 3):
        process = subprocess.Popen([sys.executable, "-c", RUNNER, str(jobs.folder)], cwd=ROOT)
        until(lambda process=process: psutil.Process(process.pid).children())
        child = psutil.Process(process.pid).children()[0]
        until(lambda: jobs.get(job.id).progress)
        process.kill()
        process.wait()
        until(lambda child=child: not child.is_running() or child.status() == "zombie")
        assert (jobs.get(job.id).state, jobs.get(job.id).attempts) == ("running", attempt)
    assert JobRunner(jobs).run_next() is False
    now = jobs.get(job.id)
    assert (now.state, now.fault) == ("failed", "was interrupted 3 times; not tried again")
    with pytest.raises(NoResult, match="it is failed: was interrupted 3 times"):
        jobs.result(job.id)


def test_a_failed_job_says_why(tmp_path: Path):
    jobs = Jobs(tmp_path / "jobs")
    model = ship_model(tmp_path / "model")
    upload = tmp_path / "up"
    upload.write_text("id,number\na,667\n")
    crashing = create_job(jobs, model, upload)
    upload.write_text("id,count\na,1\n")
    misnamed = create_job(jobs, model, upload)
    tampered = create_job(jobs, model, write_numbers(upload, 1), digest="0" * 64)
    runner = JobRunner(jobs)
    assert [runner.run_next() for _ in range(4)] == [True, True, True, False]
    failed = [jobs.get(each.id) for each in (crashing, misnamed, tampered)]
    assert {each.state for each in failed} == {"failed"}
    assert failed[0].fault == "the scoring process was ended by SIGSEGV"
    assert (
        "BadTable: source.csv: columns that are not inputs of the model: 'count'" in failed[1].fault
    )
    assert "expected 000000000000; nothing was run" in failed[2].fault


def test_a_damaged_job_does_not_block_others(model: Shipped, tmp_path: Path):
    jobs = Jobs(tmp_path / "jobs")
    damaged, fine = (create_job(jobs, model, write_numbers(tmp_path / "up", 10)) for _ in range(2))
    jobs.place(damaged.id).job_file.write_text("{")
    runner = JobRunner(jobs)
    assert [runner.run_next(), runner.run_next()] == [True, False]
    assert [(each.id, each.state) for each in jobs.list()] == [(fine.id, "done")]
