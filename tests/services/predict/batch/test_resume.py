"""Progress, resumption and memory use of batch scoring."""

import itertools
import json
import os
import signal
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from services.predict.batch import score as scoring
from slipway.contract.shipped import Shipped
from tests.services.predict.batch.batch_models import (
    DOUBLING,
    in_process,
    read_csv,
    score,
    ship_model,
    write_numbers,
)
from tests.waiting import until


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Shipped:
    return ship_model(tmp_path_factory.mktemp("model"))


def test_progress_is_published_at_most_twice_a_second_and_ends_complete(tmp_path: Path):
    model = ship_model(tmp_path / "model", pause=0.05)
    source = write_numbers(tmp_path / "in.csv", 3000)
    published = []
    began = time.monotonic()
    summary = score(
        *(model, source, tmp_path / "out.csv"),
        keep=["id"],
        rows_per_part=100,
        on_progress=lambda now: published.append((time.monotonic(), now)),
    )
    slowest = 3000 / (time.monotonic() - began)
    times = [at for at, _ in published]
    assert len(published) >= 3
    assert all(later - before >= 0.5 for before, later in itertools.pairwise(times[:-1]))
    assert [now.rows for _, now in published] == sorted(now.rows for _, now in published)
    last = published[-1][1]
    assert (last.rows, last.bad, last.seconds_left) == (3000, 0, 0)
    assert last.bytes == last.bytes_total == source.stat().st_size
    assert slowest < summary.rows_per_second <= last.rows_per_second < 3000 / (30 * 0.05)
    middle = published[1][1]
    assert 0 < middle.bytes < middle.bytes_total
    spent = middle.rows / middle.rows_per_second
    left = spent * (middle.bytes_total - middle.bytes) / middle.bytes
    assert middle.seconds_left == pytest.approx(left, rel=0.01)
    written = json.loads((tmp_path / "out.csv.work" / "progress.json").read_text())
    assert written == last.model_dump()


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_after_kills_every_row_is_in_the_results_once_and_in_order(tmp_path: Path, suffix):
    model = ship_model(tmp_path / "model", pause=0.04)
    source, target = write_numbers(tmp_path / "in.csv", 5050), tmp_path / "out.csv"
    if suffix == "parquet":
        rows = read_csv(source)
        source = tmp_path / "in.parquet"
        values = pa.array([int(row["number"]) for row in rows])
        table = pa.table({"id": [row["id"] for row in rows], "number": values})
        pq.write_table(table, source, row_group_size=777)
    work = tmp_path / "out.csv.work"
    finished: dict[Path, int] = {}
    for wanted in (12, 30):
        process = in_process(model, source, target, 100)
        until(lambda wanted=wanted: len(list(work.glob("part-*.parquet"))) >= wanted)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        now = {part: part.stat().st_mtime_ns for part in work.glob("part-*.parquet")}
        assert now.items() >= finished.items()
        assert not target.exists()
        finished = now
    summary = score(model, source, target, keep=["id"], rows_per_part=100)
    assert summary.resumed_rows == 100 * len(finished)
    assert summary.parts == 51
    assert {part: part.stat().st_mtime_ns for part in finished} == finished
    rows = read_csv(target)
    assert [row["id"] for row in rows] == [f"row {n}" for n in range(5050)]
    assert all(row["twice"] == str(n % 600 * 2) for n, row in enumerate(rows))
    assert not list(tmp_path.rglob("*.new"))


def interrupt(model: Shipped, source: Path, target: Path, **more) -> None:
    """Start scoring, and interrupt it after some parts."""

    def stop(progress) -> None:
        if progress.rows >= 100:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        score(model, source, target, keep=["id"], rows_per_part=100, on_progress=stop, **more)


def test_a_work_folder_of_another_run_is_refused_with_the_differences(
    model: Shipped, tmp_path: Path
):
    source, target = write_numbers(tmp_path / "in.csv", 1000), tmp_path / "out.csv"
    interrupt(model, source, target)
    same = {"keep": ["id"], "rows_per_part": 100}
    with pytest.raises(scoring.WorkFolderMismatch, match="rows_per_part was 100, is 50"):
        score(model, source, target, keep=["id"], rows_per_part=50)
    with pytest.raises(scoring.WorkFolderMismatch, match="version was 1, is 2"):
        score(model, source, target, version="2", **same)
    other = ship_model(tmp_path / "other", DOUBLING + "\n# another\n")
    with pytest.raises(
        scoring.WorkFolderMismatch, match="digest was [0-9a-f]{12}, is [0-9a-f]{12}[.;]"
    ):
        score(other, source, target, **same)
    with source.open("a") as stream:
        stream.write("more,1\n")
    with pytest.raises(scoring.WorkFolderMismatch, match="source_bytes was .*source_modified was"):
        score(model, source, target, **same)
    (tmp_path / "out.csv.work" / "manifest.json").unlink()
    with pytest.raises(scoring.WorkFolderMismatch, match="manifest.json is missing or damaged"):
        score(model, source, target, **same)
    assert not target.exists()


def test_an_incomplete_part_and_those_after_it_are_scored_again(model, tmp_path):
    source, target = write_numbers(tmp_path / "in.csv", 1000), tmp_path / "out.csv"
    score(model, source, target, keep=["id"], rows_per_part=100)
    expected = target.read_bytes()
    parts = sorted((tmp_path / "out.csv.work").glob("part-*.parquet"))
    os.truncate(parts[4], 50)
    summary = score(model, source, target, keep=["id"], rows_per_part=100)
    assert (summary.resumed_rows, summary.parts) == (400, 10)
    assert target.read_bytes() == expected


def test_a_source_modified_meanwhile_is_an_error(model: Shipped, tmp_path: Path):
    source, target = write_numbers(tmp_path / "in.csv", 3000), tmp_path / "out.csv"

    def modify_source(progress) -> None:
        with source.open("a") as stream:
            stream.write("more,1\n")

    with pytest.raises(scoring.SourceChanged, match="in.csv was modified while"):
        score(model, source, target, keep=["id"], rows_per_part=2000, on_progress=modify_source)
    assert not target.exists()


def test_a_work_folder_in_use_is_refused(tmp_path: Path):
    model = ship_model(tmp_path / "model", pause=0.05)
    source, target = write_numbers(tmp_path / "in.csv", 3000), tmp_path / "out.csv"

    def second(progress) -> None:
        with pytest.raises(scoring.WorkFolderBusy, match="in use by another process"):
            score(model, source, target, keep=["id"], rows_per_part=1000)

    assert score(model, source, target, keep=["id"], rows_per_part=1000, on_progress=second).rows


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_memory_does_not_grow_with_the_file(tmp_path: Path, suffix: str):
    """A file of 30 MB takes no more memory than one of 3 MB.

    The peak varies by 30 MiB between runs; holding the larger file's records would take 158 MiB.
    """
    model = ship_model(tmp_path / "model")
    peaks = []
    for rows in (15_000, 150_000):
        ids = [f"{n:180}" for n in range(rows)]
        source = tmp_path / f"in-{rows}.{suffix}"
        if suffix == "csv":
            source.write_text(
                "id,number\n" + "".join(f"{id},{n % 600}\n" for n, id in enumerate(ids))
            )
        else:
            table = pa.table({"id": ids, "number": pa.array([n % 600 for n in range(rows)])})
            pq.write_table(table, source, compression="none", use_dictionary=False)
        out, faults = in_process(model, source, tmp_path / f"out-{rows}.csv", 5000).communicate()
        assert out, faults
        peaks.append(float(out))
        lines = sum(1 for _ in (tmp_path / f"out-{rows}.csv").open())
        assert lines == rows + 1
    assert source.stat().st_size > 27e6
    print(f"{suffix}: peak {peaks[0]:.0f} and {peaks[1]:.0f} MiB")
    assert peaks[1] < peaks[0] + 60, peaks
