"""Files scored in parts: what comes out, what a kill leaves, and jobs that outlive their runner."""

import base64
import csv
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from textwrap import dedent

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slipway.contract.shipped import Shipped
from slipway.registry.digest import digest
from slipway.scoring import score as scoring
from slipway.scoring.jobs import JobRunner, Jobs, NoResult, QueueFull, UnknownJob
from slipway.scoring.tables import BadTable
from tests.conftest import ROOT
from tests.services.zoo import Zoo, code
from tests.waiting import PATIENCE, until

DOUBLING = '''
"""What is twice the number?"""

import os
import time
from pathlib import Path

from pydantic import Field

from slipway.contract import Model, Record, publish


class Question(Record):
    number: int = Field(ge=0, le=1_000_000)
    who: str | None = None
    weight: float | None = None
    tags: list[str] = []


class Answer(Record):
    twice: int
    who: str | None
    about: dict[str, int | None]


class Doubling(Model):
    def load(self, weights: Path) -> None:
        self.pause = float((weights / "pause").read_text())

    def predict(self, model_input: list[Question]) -> list[Answer]:
        time.sleep(self.pause)
        if any(each.number == 666 for each in model_input):
            raise RuntimeError("666 is poisonous")
        if any(each.number == 667 for each in model_input):
            os.kill(os.getpid(), 11)
        if any(each.number == 668 for each in model_input):
            Path(os.environ["HELD_BY"]).write_text(str(os.getpid()))
            while Path(os.environ["HOLDS"]).exists():
                time.sleep(0.01)
        return [
            Answer(twice=2 * each.number, who=each.who, about={"tags": len(each.tags)})
            for each in model_input
        ]


publish(Doubling())
'''
PICTURES = '''
"""How many bytes has the picture?"""

from slipway.contract import Model, Record, publish


class Picture(Record):
    image: bytes


class Size(Record):
    size: int
    head: bytes


class Sizes(Model):
    def predict(self, model_input: list[Picture]) -> list[Size]:
        return [Size(size=len(each.image), head=each.image[:2]) for each in model_input]


publish(Sizes())
'''


def shipped(folder: Path, model: str = DOUBLING, *, pause: float = 0.0) -> Shipped:
    made = Shipped(folder)
    made.weights.mkdir(parents=True)
    made.about.mkdir()
    made.code.write_text(model)
    (made.weights / "pause").write_text(str(pause))
    (made.about / "card.md").write_text("# Twice\n")
    (made.about / "metrics.json").write_text('{"metrics": {"accuracy": 1.0}}')
    (made.about / "examples.json").write_text("[]")
    return made


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Shipped:
    return shipped(tmp_path_factory.mktemp("model"))


def score(model: Shipped, source: Path, target: Path, **more) -> scoring.Summary:
    asked = {"version": "1", "work": target.with_name(f"{target.name}.work"), **more}
    return scoring.score(shipped=model, source=source, target=target, **asked)


def numbers(file: Path, count: int) -> Path:
    with file.open("w") as stream:
        stream.write("id,number\n")
        stream.writelines(f"row {n},{n % 600}\n" for n in range(count))
    return file


def from_csv(file: Path) -> list[dict[str, str]]:
    with file.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def from_json_lines(file: Path) -> list[dict]:
    return [json.loads(line) for line in file.read_text().splitlines()]


# What goes in


def test_a_csv_with_every_trap_is_read_as_it_is_meant(model: Shipped, tmp_path: Path):
    text = (
        '\ufeff"number",id,who,tags,weight\r\n'
        '3,"a,1","Ann ""A"" Lee\r\nsecond line","[""x"",""y""]",1e-3\r\n'
        "\r\n"
        '" 4 ",b,,,\r\n'
        "5,c,Ødegård,[],0.5"
    )
    source, target = tmp_path / "in.csv", tmp_path / "out.jsonl"
    source.write_bytes(text.encode())
    assert score(model, source, target, keep=["id"]).bad == 0
    assert from_json_lines(target) == [
        {
            "id": "a,1",
            "twice": 6,
            "who": 'Ann "A" Lee\r\nsecond line',
            "about": {"tags": 2},
            "error": None,
        },
        {"id": "b", "twice": 8, "who": None, "about": {"tags": 0}, "error": None},
        {"id": "c", "twice": 10, "who": "Ødegård", "about": {"tags": 0}, "error": None},
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("number,id\n1,a\n", "columns that the model does not know: 'id'; name them in keep"),
        ("who\nAnn\n", "columns that the model needs are missing: number"),
        ("number,number\n1,2\n", "columns that are there twice: number"),
        ("number;who\n1;a\n", "columns that the model does not know: 'number;who'"),
        ("", "is empty"),
        ('number,who\n1,"Ann\n2,Bob\n', "line 3 or near: unexpected end of data"),
        ('number,who\n1,"A"nn\n', "line 2 or near: "),
    ],
)
def test_a_csv_that_is_not_the_models_is_refused(model: Shipped, tmp_path: Path, text, said):
    source, target = tmp_path / "in.csv", tmp_path / "out.csv"
    source.write_text(text)
    with pytest.raises(BadTable) as refused:
        score(model, source, target)
    assert f"in.csv: {said}" in str(refused.value)
    assert not target.exists()
    assert not list(target.with_name("out.csv.work").glob("part-*"))


def test_latin_1_is_refused_where_it_stands(model: Shipped, tmp_path: Path):
    source = tmp_path / "in.csv"
    source.write_bytes("number,who\n1,Zoë\n".encode("latin-1"))
    with pytest.raises(BadTable, match="utf-8"):
        score(model, source, tmp_path / "out.csv")


@pytest.mark.parametrize(
    ("keep", "said"),
    [
        (["nobody"], "keep: no such columns: nobody"),
        (["who"], "keep: also a column of the answers, rename it: who"),
        (["id", "id"], "keep: each column can be named once"),
    ],
)
def test_columns_that_cannot_be_kept_are_refused(model: Shipped, tmp_path: Path, keep, said):
    source = tmp_path / "in.csv"
    source.write_text("id,number,who\n1,1,a\n")
    with pytest.raises(BadTable, match=said):
        score(model, source, tmp_path / "out.csv", keep=["id", *keep] if keep[0] != "id" else keep)


def test_places_that_do_not_work_are_refused(model: Shipped, tmp_path: Path):
    source = numbers(tmp_path / "in.csv", 1)
    with pytest.raises(BadTable, match="must end in one of .csv, .parquet, .jsonl"):
        score(model, source, tmp_path / "out.xlsx")
    with pytest.raises(BadTable, match="is the source itself"):
        score(model, source, source)
    with pytest.raises(FileNotFoundError, match="no such file"):
        score(model, tmp_path / "none.csv", tmp_path / "out.csv")
    with pytest.raises(FileNotFoundError, match="no such folder"):
        score(model, source, tmp_path / "nowhere" / "out.csv")


def test_bad_rows_say_why_and_the_others_are_answered(model: Shipped, tmp_path: Path):
    source, target = tmp_path / "in.csv", tmp_path / "out.csv"
    source.write_text('number,who,tags\n1,a,\nx,b,\n,c,\n-1,d,\n5\n6,e,{\n7,f,[]\n8,g,"[1]"\n')
    summary = score(model, source, target)
    assert (summary.rows, summary.bad) == (8, 6)
    rows = from_csv(target)
    assert [row["twice"] for row in rows] == ["2", "", "", "", "", "", "14", ""]
    said = [row["error"] for row in rows]
    assert said[1].startswith("number: Input should be a valid integer")
    assert said[2] == "number: Field required"
    assert said[3] == "number: Input should be greater than or equal to 0"
    assert said[4] == "row: must have 3 cells as the header, got 1"
    assert said[5].startswith("tags: must be JSON")
    assert said[7] == "tags.0: Input should be a valid string"


def test_json_lines_may_leave_fields_out_and_each_bad_line_is_one_row(model, tmp_path):
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    lines = [
        '{"id": {"k": [1, "ü"]}, "number": 1, "who": null, "tags": ["a"]}',
        "",
        '{"number": "2", "id": 7}',
        '{"number": 3, "extra": 1}',
        "[]",
        '{"number": ',
        '{"number": NaN}',
    ]
    source.write_text("\n".join(lines))
    summary = score(model, source, target, keep=["id"])
    assert (summary.rows, summary.bad) == (6, 4)
    rows = from_json_lines(target)
    assert [row["id"] for row in rows] == [{"k": [1, "ü"]}, 7, None, None, None, None]
    assert [row["twice"] for row in rows] == [2, 4, None, None, None, None]
    assert rows[0]["about"] == {"tags": 1}
    assert rows[2]["error"] == "extra: Extra inputs are not permitted"
    assert rows[3]["error"] == "row: must be a JSON object"
    assert rows[4]["error"].startswith("row: must be JSON")


def test_the_first_line_of_json_names_the_columns(model: Shipped, tmp_path: Path):
    source = tmp_path / "in.jsonl"
    source.write_text('{"number": 1, "id": 1}\n')
    with pytest.raises(BadTable, match="columns that the model does not know: 'id'"):
        score(model, source, tmp_path / "out.jsonl")
    source.write_text("number,id\n")
    with pytest.raises(BadTable, match="line 1: row: must be JSON"):
        score(model, source, tmp_path / "out.jsonl")


def test_parquet_keeps_types_and_reads_nan_as_unknown(model: Shipped, tmp_path: Path):
    at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    source, target = tmp_path / "in.parquet", tmp_path / "out.parquet"
    table = pa.table(
        {
            "at": pa.array([at, None, at], pa.timestamp("ns", "UTC")),
            "kind": pa.array(["x", "y", "x"]).dictionary_encode(),
            "number": pa.array([1.0, 2.0, None]),
            "weight": pa.array([float("nan"), 1.5, None]),
            "tags": pa.array([["a", "b"], [], None], pa.list_(pa.string())),
        }
    )
    pq.write_table(table, source)
    summary = score(model, source, target, keep=["at", "kind"])
    assert (summary.rows, summary.bad) == (3, 1)
    out = pq.read_table(target)
    assert out.schema.names == ["at", "kind", "twice", "who", "about", "error"]
    assert out.schema.field("at").type == pa.timestamp("ns", "UTC")
    assert out["at"].to_pylist() == [at, None, at]
    assert out["kind"].to_pylist() == ["x", "y", "x"]
    assert out["twice"].to_pylist() == [2, 4, None]
    assert out["about"].to_pylist() == ['{"tags":2}', '{"tags":0}', None]
    assert out["error"].to_pylist() == [None, None, "number: Field required"]


def test_pictures_are_binary_in_parquet_and_base64_elsewhere(tmp_path: Path):
    model = shipped(tmp_path / "model", PICTURES)
    images = [b"\xff\xfe\x00\x01", b"", b"\x89PNG" * 1000]
    pq.write_table(pa.table({"image": images}), tmp_path / "in.parquet")
    text = [base64.b64encode(each).decode() for each in images]
    (tmp_path / "in.jsonl").write_text("".join(f'{{"image": "{each}"}}\n' for each in text))
    (tmp_path / "in.csv").write_text("image\n" + "".join(f'"{each}"\n' for each in text))
    for suffix in ("parquet", "jsonl", "csv"):
        target = tmp_path / f"from-{suffix}.parquet"
        score(model, tmp_path / f"in.{suffix}", target)
        rows = pq.read_table(target).to_pylist()
        # An empty cell is unknown, and no picture of no bytes.
        empty = (None, None) if suffix == "csv" else (0, b"")
        heads = [(row["size"], row["head"]) for row in rows]
        assert heads == [(4, b"\xff\xfe"), empty, (4000, b"\x89P")]
    score(model, tmp_path / "in.parquet", tmp_path / "out.csv")
    assert [row["head"] for row in from_csv(tmp_path / "out.csv")] == ["__4=", "", "iVA="]
    pq.write_table(pa.table({"image": text}), tmp_path / "text.parquet")
    with pytest.raises(BadTable, match="image: must be a binary column, is string"):
        score(model, tmp_path / "text.parquet", tmp_path / "text.csv")


def test_a_poisonous_row_takes_no_other_with_it(model: Shipped, tmp_path: Path):
    source, target = tmp_path / "in.csv", tmp_path / "out.csv"
    source.write_text("number\n" + "".join(f"{n}\n" for n in [*range(50), 666, *range(50)]))
    assert score(model, source, target).bad == 1
    rows = from_csv(target)
    assert [row["twice"] for row in rows if row["twice"]] == [
        str(2 * n) for n in [*range(50), *range(50)]
    ]
    assert rows[50]["error"] == "predict: RuntimeError: 666 is poisonous"


def test_a_header_alone_gives_a_header_alone(model: Shipped, tmp_path: Path):
    source, target = tmp_path / "in.csv", tmp_path / "out.csv"
    source.write_text("number\n")
    assert score(model, source, target).rows == 0
    assert target.read_text() == "twice,who,about,error\n"


CELLS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    rows=st.lists(st.tuples(CELLS, st.integers(0, 600)), max_size=20),
    every=st.integers(1, 8),
    formats=st.tuples(*[st.sampled_from(["csv", "jsonl", "parquet"])] * 2),
)
def test_whatever_the_text_and_the_parts_every_row_comes_back(
    model, tmp_path_factory, rows, every, formats
):
    """Through any pair of formats; an empty text in a CSV is none."""
    folder = tmp_path_factory.mktemp("any")
    source, target = folder / f"in.{formats[0]}", folder / f"out.{formats[1]}"
    if formats[0] == "csv":
        with source.open("w", newline="", encoding="utf-8") as stream:
            csv.writer(stream).writerows([("id", "number"), *rows])
    elif formats[0] == "jsonl":
        lines = [json.dumps({"id": id, "number": number}) + "\n" for id, number in rows]
        source.write_text("".join(lines or ['{"id": "", "number": 0}\n']))
        rows = rows or [("", 0)]
    else:
        ids, asked = [row[0] for row in rows], [row[1] for row in rows]
        table = pa.table({"id": pa.array(ids, pa.string()), "number": pa.array(asked, pa.int64())})
        pq.write_table(table, source, row_group_size=3)
    summary = score(model, source, target, keep=["id"], rows_per_part=every)
    assert (summary.rows, summary.bad) == (len(rows), 0)
    assert summary.parts == -(-len(rows) // every)
    if formats[1] == "csv":
        got = [(row["id"], int(row["twice"])) for row in from_csv(target)]
    elif formats[1] == "jsonl":
        got = [
            (row["id"] or "", row["twice"])
            for row in map(json.loads, target.read_bytes().split(b"\n")[:-1])
        ]
    else:
        table = pq.read_table(target).to_pylist()
        got = [(row["id"] or "", row["twice"]) for row in table]
    assert got == [(id, 2 * number) for id, number in rows]


# Progress, restart, memory


def test_progress_is_told_at_most_twice_a_second_and_ends_full(tmp_path: Path):
    model = shipped(tmp_path / "model", pause=0.05)
    source = numbers(tmp_path / "in.csv", 3000)
    told = []
    began = time.monotonic()
    summary = score(
        *(model, source, tmp_path / "out.csv"),
        keep=["id"],
        rows_per_part=100,
        on_progress=lambda now: told.append((time.monotonic(), now)),
    )
    slowest = 3000 / (time.monotonic() - began)
    times = [at for at, _ in told]
    assert len(told) >= 3
    assert all(later - before >= 0.5 for before, later in itertools.pairwise(times[:-1]))
    assert [now.rows for _, now in told] == sorted(now.rows for _, now in told)
    last = told[-1][1]
    assert (last.rows, last.bad, last.seconds_left) == (3000, 0, 0)
    assert last.bytes == last.bytes_total == source.stat().st_size
    assert slowest < summary.rows_per_second <= last.rows_per_second < 3000 / (30 * 0.05)
    middle = told[1][1]
    assert 0 < middle.bytes < middle.bytes_total
    spent = middle.rows / middle.rows_per_second
    left = spent * (middle.bytes_total - middle.bytes) / middle.bytes
    assert middle.seconds_left == pytest.approx(left, rel=0.01)
    written = json.loads((tmp_path / "out.csv.work" / "progress.json").read_text())
    assert written == last.model_dump()


SCRIPT = """
import sys
from pathlib import Path
from slipway.contract.shipped import Shipped
from slipway.scoring.score import score
model, source, target, every = sys.argv[1:]
target = Path(target)
score(shipped=Shipped(Path(model)), version="1", source=Path(source), target=target,
      work=target.with_name(target.name + ".work"), rows_per_part=int(every), keep=["id"])
# Not getrusage: its peak begins with that of the process that started this one.
status = Path("/proc/self/status").read_text().splitlines()
print(int(next(line for line in status if line.startswith("VmHWM")).split()[1]) / 1024)
"""


def in_process(model: Shipped, source: Path, target: Path, every: int) -> "subprocess.Popen[str]":
    words = [sys.executable, "-c", SCRIPT, model.folder, source, target, every]
    return subprocess.Popen(
        [str(word) for word in words],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_killed_and_started_again_every_row_is_there_once_and_in_order(tmp_path: Path, suffix):
    model = shipped(tmp_path / "model", pause=0.04)
    source, target = numbers(tmp_path / "in.csv", 5050), tmp_path / "out.csv"
    if suffix == "parquet":
        rows = from_csv(source)
        source = tmp_path / "in.parquet"
        asked = pa.array([int(row["number"]) for row in rows])
        table = pa.table({"id": [row["id"] for row in rows], "number": asked})
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
    rows = from_csv(target)
    assert [row["id"] for row in rows] == [f"row {n}" for n in range(5050)]
    assert all(row["twice"] == str(n % 600 * 2) for n, row in enumerate(rows))
    assert not list(tmp_path.rglob("*.new"))


def begun(model: Shipped, source: Path, target: Path, **more) -> None:
    """Stopped after some parts."""

    def stop(progress) -> None:
        if progress.rows >= 100:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        score(model, source, target, keep=["id"], rows_per_part=100, on_progress=stop, **more)


def test_work_begun_otherwise_is_refused_with_what_differs(model: Shipped, tmp_path: Path):
    source, target = numbers(tmp_path / "in.csv", 1000), tmp_path / "out.csv"
    begun(model, source, target)
    same = {"keep": ["id"], "rows_per_part": 100}
    with pytest.raises(scoring.WorkDiffers, match="rows_per_part was 100, is 50"):
        score(model, source, target, keep=["id"], rows_per_part=50)
    with pytest.raises(scoring.WorkDiffers, match="version was 1, is 2"):
        score(model, source, target, version="2", **same)
    other = shipped(tmp_path / "other", DOUBLING + "\n# another\n")
    with pytest.raises(scoring.WorkDiffers, match="digest was [0-9a-f]{12}, is [0-9a-f]{12}[.;]"):
        score(other, source, target, **same)
    with source.open("a") as stream:
        stream.write("more,1\n")
    with pytest.raises(scoring.WorkDiffers, match="source_bytes was .*source_modified was"):
        score(model, source, target, **same)
    (tmp_path / "out.csv.work" / "manifest.json").unlink()
    with pytest.raises(scoring.WorkDiffers, match="manifest.json is missing or damaged"):
        score(model, source, target, **same)
    assert not target.exists()


def test_a_torn_part_is_scored_again_and_a_stray_one_is_not_believed(model, tmp_path):
    source, target = numbers(tmp_path / "in.csv", 1000), tmp_path / "out.csv"
    score(model, source, target, keep=["id"], rows_per_part=100)
    expected = target.read_bytes()
    parts = sorted((tmp_path / "out.csv.work").glob("part-*.parquet"))
    os.truncate(parts[4], 50)
    summary = score(model, source, target, keep=["id"], rows_per_part=100)
    assert (summary.resumed_rows, summary.parts) == (400, 10)
    assert target.read_bytes() == expected


def test_a_source_written_to_meanwhile_is_noticed(model: Shipped, tmp_path: Path):
    source, target = numbers(tmp_path / "in.csv", 3000), tmp_path / "out.csv"

    def meddle(progress) -> None:
        with source.open("a") as stream:
            stream.write("more,1\n")

    with pytest.raises(scoring.SourceChanged, match="in.csv was written to while"):
        score(model, source, target, keep=["id"], rows_per_part=2000, on_progress=meddle)
    assert not target.exists()


def test_two_at_once_on_the_same_work_are_kept_apart(tmp_path: Path):
    model = shipped(tmp_path / "model", pause=0.05)
    source, target = numbers(tmp_path / "in.csv", 3000), tmp_path / "out.csv"

    def second(progress) -> None:
        with pytest.raises(scoring.WorkTaken, match="another process is at work"):
            score(model, source, target, keep=["id"], rows_per_part=1000)

    assert score(model, source, target, keep=["id"], rows_per_part=1000, on_progress=second).rows


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_ten_times_the_file_takes_no_more_memory(tmp_path: Path, suffix: str):
    """3 MB and 30 MB.

    The peak varies by 30 MiB from run to run; the larger file's records, held, take 158 MiB.
    """
    model = shipped(tmp_path / "model")
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


# Jobs


def asked(jobs: Jobs, model: Shipped, source: Path, **more):
    wanted = {"project": "doubling", "version": "1", "digest": digest(model.parts), **more}
    return jobs.create(
        model_folder=model.folder,
        source=source,
        source_format="csv",
        target_format=wanted.pop("target_format", "csv"),
        keep=["id"],
        **wanted,
    )


def test_a_job_goes_from_queued_to_done(model: Shipped, tmp_path: Path):
    jobs = Jobs(tmp_path / "jobs")
    upload = numbers(tmp_path / "upload", 1234)
    job = asked(jobs, model, upload, target_format="jsonl")
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
    assert len(from_json_lines(jobs.result(job.id))) == 1234
    kept = sorted(each.name for each in jobs.place(job.id).folder.iterdir())
    assert kept == ["job.json", "log.txt", "result.jsonl"]
    assert [each.id for each in jobs.list()] == [job.id]
    jobs.delete(job.id)
    assert [each.name for each in (tmp_path / "jobs").iterdir()] == ["lock"]


def test_the_oldest_goes_first_and_the_queue_has_an_end(model: Shipped, tmp_path: Path):
    jobs = Jobs(tmp_path / "jobs", most_waiting=2)
    first, second = (asked(jobs, model, numbers(tmp_path / "up", 10)) for _ in range(2))
    upload = numbers(tmp_path / "up", 10)
    with pytest.raises(QueueFull, match="2 jobs wait"):
        asked(jobs, model, upload)
    assert upload.is_file()
    assert JobRunner(jobs).run_next()
    assert [jobs.get(each.id).state for each in (first, second)] == ["done", "queued"]
    asked(jobs, model, upload)


@pytest.mark.parametrize(
    "id",
    ["", ".", "..", "../jobs", "lock", "a" * 36, "{0}/../{0}", "{0}/work", "/etc", "{0}\n", "{1}"],
)
def test_ids_that_were_not_given_out_lead_nowhere(model: Shipped, tmp_path: Path, id: str):
    jobs = Jobs(tmp_path / "jobs")
    job = asked(jobs, model, numbers(tmp_path / "up", 1))
    for ask in (jobs.get, jobs.cancel, jobs.delete, jobs.result):
        with pytest.raises(UnknownJob):
            ask(id.format(job.id, job.id.upper()))
    with pytest.raises(UnknownJob):
        jobs.get("00000000-0000-4000-8000-000000000000")
    assert jobs.get(job.id).state == "queued"


class Running:
    """run_next in a thread, as the server has it."""

    def __init__(self, jobs: Jobs) -> None:
        self.runner = JobRunner(jobs)
        self.thread = threading.Thread(target=self.runner.run_next)
        self.thread.start()

    def child(self) -> psutil.Process:
        until(lambda: self.runner._child)
        return psutil.Process(self.runner._child.pid)

    def close(self) -> None:
        self.runner.close()
        self.thread.join(PATIENCE)
        assert not self.thread.is_alive()


def parts(jobs: Jobs, id: str) -> dict[Path, int]:
    return {file: file.stat().st_mtime_ns for file in jobs.place(id).work.glob("part-*.parquet")}


# What 500,000 rows take the slow model at least, in seconds.
TO_ITS_END = 25


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Shipped:
    return shipped(tmp_path_factory.mktemp("slow") / "model", pause=0.05)


def test_a_running_job_is_cancelled_at_once(slow: Shipped, tmp_path: Path):
    jobs = Jobs(tmp_path / "jobs")
    job = asked(jobs, slow, numbers(tmp_path / "up", 500_000))
    waiting = asked(jobs, slow, numbers(tmp_path / "up", 10))
    running = Running(jobs)
    until(lambda: jobs.get(job.id).progress)
    child = running.child()
    assert child.nice() == 10
    assert jobs.get(job.id).state == "running"
    # From another process, as it were.
    assert Jobs(tmp_path / "jobs").cancel(job.id).state == "cancelled"
    running.thread.join(TO_ITS_END - 5)
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
    job = asked(jobs, slow, numbers(tmp_path / "up", 500_000))
    running = Running(jobs)
    until(lambda: jobs.get(job.id).progress)
    child = running.child()
    jobs.delete(job.id)
    running.thread.join(TO_ITS_END - 5)
    assert not running.thread.is_alive()
    assert not child.is_running()
    with pytest.raises(UnknownJob):
        jobs.get(job.id)


def test_a_new_runner_goes_on_where_the_closed_one_was(
    model: Shipped, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Of three parts two are done when the third is held up, twice in the same row."""
    holds, held_by = tmp_path / "holds", tmp_path / "held_by"
    monkeypatch.setenv("HOLDS", str(holds))
    monkeypatch.setenv("HELD_BY", str(held_by))
    jobs = Jobs(tmp_path / "jobs")
    upload = numbers(tmp_path / "up", 22_999)
    with upload.open("a") as stream:
        stream.write("row 22999,668\n")
    job = asked(jobs, model, upload)
    holds.touch()
    held_by.touch()

    def held() -> Running:
        running = Running(jobs)
        child = str(running.child().pid)
        until(lambda: held_by.read_text() == child)
        return running

    running = held()
    finished = parts(jobs, job.id)
    assert len(finished) == 2
    # It waits for no row.
    running.close()
    assert running.runner.run_next() is False
    assert (jobs.get(job.id).state, jobs.get(job.id).attempts) == ("queued", 0)
    again = held()
    assert parts(jobs, job.id) == finished
    # As when a whole family of processes is asked to end: the runner decides, not its child.
    again.child().send_signal(signal.SIGTERM)
    again.child().send_signal(signal.SIGINT)
    holds.unlink()
    again.thread.join(PATIENCE)
    assert (jobs.get(job.id).state, jobs.get(job.id).attempts) == ("done", 1)
    rows = from_csv(jobs.result(job.id))
    assert [row["id"] for row in rows] == [f"row {n}" for n in range(23_000)]


RUNNER = """
import sys
from pathlib import Path
from slipway.scoring.jobs import JobRunner, Jobs
JobRunner(Jobs(Path(sys.argv[1]))).run_next()
"""


def test_a_job_whose_runner_is_killed_three_times_is_given_up(slow: Shipped, tmp_path: Path):
    jobs = Jobs(tmp_path / "jobs")
    job = asked(jobs, slow, numbers(tmp_path / "up", 500_000))
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
    model = shipped(tmp_path / "model")
    upload = tmp_path / "up"
    upload.write_text("id,number\na,667\n")
    crashing = asked(jobs, model, upload)
    upload.write_text("id,count\na,1\n")
    misnamed = asked(jobs, model, upload)
    meddled = asked(jobs, model, numbers(upload, 1), digest="0" * 64)
    runner = JobRunner(jobs)
    assert [runner.run_next() for _ in range(4)] == [True, True, True, False]
    said = [jobs.get(each.id) for each in (crashing, misnamed, meddled)]
    assert {each.state for each in said} == {"failed"}
    assert said[0].fault == "the scoring process was ended by SIGSEGV"
    assert "BadTable: source.csv: columns that the model does not know: 'count'" in said[1].fault
    assert "wanted 000000000000; nothing was run" in said[2].fault


def test_a_damaged_job_holds_up_no_other(model: Shipped, tmp_path: Path):
    jobs = Jobs(tmp_path / "jobs")
    damaged, fine = (asked(jobs, model, numbers(tmp_path / "up", 10)) for _ in range(2))
    jobs.place(damaged.id).about.write_text("{")
    runner = JobRunner(jobs)
    assert [runner.run_next(), runner.run_next()] == [True, False]
    assert [(each.id, each.state) for each in jobs.list()] == [(fine.id, "done")]


# The command


# A shell without job control starts background jobs with SIGINT ignored, and their children inherit
# that: without its first line the command would run to its end when the tests run as such a job.
COMMAND = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from slipway import cli
if "score" not in [each.callback.__name__ for each in cli.app.registered_commands]:
    from slipway.scoring.commands import score
    cli.app.command()(score)
cli.main()
"""


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Zoo:
    made = Zoo(tmp_path_factory.mktemp("zoo"))
    slowly = """
        import time
        time.sleep(0.05)
        return [Answer(number=2 * each.number, model="slow") for each in model_input]
    """
    made.add("twice", code(dedent(slowly)))
    quick = 'return [Answer(number=3 * each.number, model="quick") for each in model_input]'
    made.add("twice", code(quick), alias=None)
    return made


def command(zoo: Zoo, *words: object) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", COMMAND, "score", *map(str, words)],
        cwd=ROOT,
        env={**os.environ, **zoo.variables()},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_the_command_interrupted_goes_on_with_the_same_words(zoo: Zoo, tmp_path: Path):
    source, target = numbers(tmp_path / "in.csv", 100_000), tmp_path / "out.parquet"
    work = tmp_path / "out.parquet.work"
    words = ["twice", source, target, "--keep", "id", "--rows-per-part", 1000]
    process = command(zoo, *words)
    until(lambda: len(list(work.glob("part-*.parquet"))) >= 3)
    process.send_signal(signal.SIGINT)
    out, said = process.communicate(timeout=600)
    assert process.returncode == 130, said
    assert "Stopped; the same command goes on from here" in said
    assert "rows/s" in said or "rows, 0 bad" in said
    assert not target.exists()

    process = command(zoo, *words, "--version", 2)
    out, said = process.communicate(timeout=600)
    assert process.returncode == 1
    assert "version was 1, is 2; digest was" in said
    assert "start afresh: --fresh" in said
    assert "Traceback" not in said

    process = command(zoo, *words)
    out, said = process.communicate(timeout=600)
    assert process.returncode == 0, said
    assert "100,000 rows (" in out
    assert "from before) by twice v1, 0 bad" in out
    table = pq.read_table(target)
    assert table["id"].to_pylist() == [f"row {n}" for n in range(100_000)]
    assert set(table["model"].to_pylist()) == {"slow"}
    assert not work.exists()


def test_the_command_takes_a_version_and_refuses_what_is_not_there(zoo: Zoo, tmp_path: Path):
    source, target = numbers(tmp_path / "in.csv", 10), tmp_path / "out.jsonl"
    process = command(zoo, "twice", source, target, "--keep", "id", "--version", 2)
    _, said = process.communicate(timeout=600)
    assert process.returncode == 0, said
    assert [row["number"] for row in from_json_lines(target)] == [3.0 * n for n in range(10)]
    process = command(zoo, "twice", source, target, "--version", 2)
    _, said = process.communicate(timeout=600)
    assert process.returncode == 1
    assert said.endswith("name them in keep, or remove them. It knows number, who\n")
    assert not (tmp_path / "out.jsonl.work").exists()
    process = command(zoo, "nobody", source, target)
    _, said = process.communicate(timeout=600)
    assert process.returncode == 1
    assert "nobody has no champion in" in said


def test_the_command_runs_nothing_of_a_model_that_was_changed(zoo: Zoo, tmp_path: Path):
    version = zoo.add("meddled", code("return []"))
    file = zoo.artifact("meddled", version) / "model.py"
    file.write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n{file.read_text()}")
    process = command(zoo, "meddled", numbers(tmp_path / "in.csv", 10), tmp_path / "out.csv")
    _, said = process.communicate(timeout=600)
    assert process.returncode == 1
    assert "none of it was run" in said
    assert not (tmp_path / "ran").exists()
