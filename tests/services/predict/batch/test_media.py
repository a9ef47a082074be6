"""Batch scoring of folders and archives of media, and results with media."""

import base64
import csv
import json
import signal
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from services.predict.batch.formats import BadTable
from services.predict.batch.score import WorkFolderMismatch
from slipway.contract.shipped import Shipped
from slipway.media import decode_image
from tests.services.predict.batch.batch_models import in_process, read_json_lines, score, ship_model
from tests.services.predict.batch.media_models import (
    COPIES,
    NEGATIVES,
    picture,
    pictures,
    write_folder,
    write_tar,
    write_zip,
)
from tests.waiting import until

DAMAGED = {
    "photos/0001.png": picture(1)[:40],
    "photos/0003.png": b"no picture",
    "photos/0004.png": b"",
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Shipped:
    return ship_model(tmp_path_factory.mktemp("model"), NEGATIVES)


@pytest.mark.parametrize("kind", ["folder", "zip", "tar", "tar.gz", "tgz"])
def test_each_file_is_a_row_and_a_damaged_one_an_error(model: Shipped, tmp_path: Path, kind: str):
    files = {
        **pictures(7),
        **DAMAGED,
        "photos/.hidden.png": b"",
        "__MACOSX/photos/0001.png": b"",
        "Ångström/ü.jpg": picture(9, format="JPEG"),
    }
    source = tmp_path / f"in.{kind}"
    write = {"folder": write_folder, "zip": write_zip}.get(kind, write_tar)
    write(source, files)
    target = tmp_path / "out.jsonl"
    summary = score(model, source, target, rows_per_part=3)
    assert (summary.rows, summary.bad, summary.parts) == (8, 3, 3)
    rows = {row.pop("file"): row for row in read_json_lines(target)}
    assert set(rows) == {*pictures(7), "Ångström/ü.jpg"}
    errors = {name: row["error"] for name, row in rows.items() if row["error"]}
    assert errors == {
        "photos/0001.png": "image: is damaged or cut off",
        "photos/0003.png": "image: is not a PNG, JPEG or WEBP picture",
        "photos/0004.png": "image: is empty",
    }
    negative = base64.b64decode(rows["photos/0005.png"]["negative"], validate=True)
    expected = 255 - decode_image(picture(5))
    np.testing.assert_array_equal(decode_image(negative), expected)
    assert [row["width"] for row in rows.values() if row["error"] is None]


@pytest.mark.parametrize("rows", ["jsonl", "parquet", "csv"])
def test_predicted_media_are_files_in_a_result_archive(model: Shipped, tmp_path: Path, rows: str):
    table = "image,note,id\na.png,halves,1\nb.png,,2\na.png,again,3\n"
    files = {"a.png": picture(1), "b.png": b"damaged", "rows.csv": table.encode()}
    source, target = write_zip(tmp_path / "in.zip", files), tmp_path / "out.zip"
    score(model, source, target, keep=["id"], rows=rows)
    with zipfile.ZipFile(target) as archive:
        names = archive.namelist()
        with archive.open(f"predictions.{rows}") as stream:
            (tmp_path / "predictions").write_bytes(stream.read())
        content = archive.read("negative/000003.png")
        half = archive.read("halves/000001-2.png")
    assert sorted(names) == [
        *("halves/000001-1.png", "halves/000001-2.png", "negative/000001.png"),
        *("negative/000003.png", f"predictions.{rows}"),
    ]
    inverted = 255 - decode_image(picture(1))
    np.testing.assert_array_equal(decode_image(content), inverted)
    np.testing.assert_array_equal(decode_image(half), inverted[:, 4:])
    if rows == "parquet":
        found = pq.read_table(tmp_path / "predictions").to_pylist()
    elif rows == "jsonl":
        found = read_json_lines(tmp_path / "predictions")
    else:
        with (tmp_path / "predictions").open(newline="") as stream:
            found = list(csv.DictReader(stream))
    assert [row["file"] for row in found] == ["a.png", "b.png", "a.png"]
    assert [row["id"] for row in found] == ["1", "2", "3"]
    named = [row["negative"] or None for row in found]
    assert named == ["negative/000001.png", None, "negative/000003.png"]
    halves = json.loads(found[0]["halves"]) if rows == "csv" else found[0]["halves"]
    assert halves == ["halves/000001-1.png", "halves/000001-2.png"]
    again = tmp_path / "again.zip"
    score(model, source, again, keep=["id"], rows=rows)
    assert again.read_bytes() == target.read_bytes()


def write_rows(folder: Path, kind: str, rows: list[dict]) -> bytes:
    """Return a table in a format."""
    file = folder / f"table.{kind}"
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), file)
    elif kind == "jsonl":
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        with file.open("w", newline="") as stream:
            writer = csv.DictWriter(stream, ["image", "more"])
            writer.writeheader()
            writer.writerows({**row, "more": json.dumps(row["more"])} for row in rows)
    return file.read_bytes()


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize("write", [write_zip, write_tar, write_folder])
def test_a_table_names_files_or_holds_base64(model: Shipped, tmp_path: Path, kind, write):
    encoded = base64.b64encode(picture(2)).decode()
    rows = [
        {"image": "photos/0001.png", "more": []},
        {"image": encoded, "more": ["photos/0003.png", encoded]},
        {"image": f"data:image/png;base64,{encoded}", "more": []},
        {"image": "./set/photos/0003.png", "more": []},
        {"image": "photos/none.png", "more": []},
        {"image": "../../../etc/passwd.png", "more": []},
        {"image": "!", "more": ["photos/0001.png"]},
    ]
    files = {f"set/{path}": content for path, content in pictures(4).items()}
    files[f"set/rows.{kind}"] = write_rows(tmp_path, kind, rows)
    source = write(tmp_path / ("in.zip" if write is write_zip else "in.tar"), files)
    if write is write_folder:
        source = source.rename(tmp_path / "in")
    target = tmp_path / "out.jsonl"
    score(model, source, target)
    found = read_json_lines(target)
    assert [row["file"] for row in found] == [
        *("set/photos/0001.png", "set/photos/0003.png", None, "set/photos/0003.png"),
        *(None, None, "set/photos/0001.png"),
    ]
    assert [row["width"] for row in found] == [9, 10 + 11 + 10, 10, 11, None, None, None]
    assert found[4]["error"] == "image: there is no file 'photos/none.png' in the source"
    assert found[5]["error"] == "image: there is no file '../../../etc/passwd.png' in the source"
    assert found[6]["error"].startswith("image: is not base64")


def test_names_in_a_table_alone_open_no_files(model: Shipped, tmp_path: Path):
    (tmp_path / "a.png").write_bytes(picture(1))
    for kind in ("csv", "jsonl", "parquet"):
        source = tmp_path / f"in.{kind}"
        source.write_bytes(write_rows(tmp_path, kind, [{"image": "a.png", "more": []}]))
        target = tmp_path / f"from-{kind}.jsonl"
        score(model, source, target)
        assert [row["error"] for row in read_json_lines(target)] == ["image: is not base64"]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"a.csv": b"image\n", "b/c.jsonl": b"{}"}, "holds several tables (a.csv, b/c.jsonl)"),
        ({"a.csv": b"image,colour\n"}, "columns that are not inputs of the model: 'colour'"),
        ({"a.csv": b"note\n"}, "columns that the model needs are missing: image"),
    ],
)
def test_archives_whose_table_does_not_fit_are_refused(model, tmp_path, files, message):
    with pytest.raises(BadTable) as refused:
        score(model, write_zip(tmp_path / "in.zip", files), tmp_path / "out.jsonl")
    assert message in str(refused.value)


def test_files_alone_are_refused_if_the_record_needs_more(tmp_path: Path):
    source = write_zip(tmp_path / "in.zip", pictures(2))
    needs_note = ship_model(tmp_path / "a", NEGATIVES.replace('note: str = ""', "note: str"))
    with pytest.raises(BadTable, match="the model also needs note: add a table"):
        score(needs_note, source, tmp_path / "out.jsonl")
    second = 'second: Annotated[bytes, Image()]\n    note: str = ""'
    two = ship_model(tmp_path / "b", NEGATIVES.replace('note: str = ""', second))
    with pytest.raises(BadTable, match="Photo has no single field of bytes; add a table"):
        score(two, source, tmp_path / "out.jsonl")


def test_a_target_in_the_folder_to_score_is_refused(model: Shipped, tmp_path: Path):
    source = write_folder(tmp_path / "in", pictures(1))
    with pytest.raises(BadTable, match="is in the folder to score"):
        score(model, source, source / "photos" / "out.jsonl")
    assert [each.name for each in source.rglob("*.*")] == ["0000.png"]


@pytest.mark.parametrize("kind", ["zip", "tgz", "folder"])
def test_after_a_kill_the_finished_parts_are_not_scored_again(tmp_path: Path, kind: str):
    model = ship_model(tmp_path / "model", NEGATIVES, pause=0.05)
    source, target = tmp_path / f"in.{kind}", tmp_path / "out.zip"
    {"zip": write_zip, "tgz": write_tar, "folder": write_folder}[kind](source, pictures(500))
    work = tmp_path / "out.zip.work"
    process = in_process(model, source, target, 10, keep=())
    until(lambda: len(list(work.glob("part-*.parquet"))) >= 5)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    finished = {part: part.stat().st_mtime_ns for part in work.glob("part-*.parquet")}
    assert not target.exists()
    summary = score(model, source, target, rows_per_part=10)
    assert summary.resumed_rows == 10 * len(finished) < summary.rows == 500
    assert {part: part.stat().st_mtime_ns for part in finished} == finished
    with zipfile.ZipFile(target) as archive:
        rows = [json.loads(line) for line in archive.read("predictions.jsonl").splitlines()]
        assert [row["file"] for row in rows] == list(pictures(500))
        for number in (0, 99, 499):
            inverted = 255 - decode_image(picture(number))
            content = archive.read(rows[number]["negative"])
            np.testing.assert_array_equal(decode_image(content), inverted)


def test_a_changed_folder_is_another_source(model: Shipped, tmp_path: Path):
    source, target = write_folder(tmp_path / "in", pictures(30)), tmp_path / "out.jsonl"
    score(model, source, target, rows_per_part=10)
    (source / "photos" / "0007.png").write_bytes(picture(8))
    with pytest.raises(WorkFolderMismatch, match="source_bytes was"):
        score(model, source, target, rows_per_part=10)


@pytest.mark.parametrize("kind", ["zip", "tar", "tgz"])
def test_memory_does_not_grow_with_the_archive(tmp_path: Path, kind: str):
    """Documents of 120 MB take no more memory than those of 12 MB, nor do as many predicted."""
    model = ship_model(tmp_path / "model", COPIES)
    random = np.random.default_rng(1)
    files = {f"{n}.pdf": b"%PDF-1.7\n" + random.bytes(400_000) for n in range(300)}
    write = write_zip if kind == "zip" else write_tar
    peaks = []
    for count in (30, 300):
        source = write(tmp_path / f"in-{count}.{kind}", dict(list(files.items())[:count]))
        target = tmp_path / f"out-{count}.zip"
        out, faults = in_process(model, source, target, 100, keep=()).communicate()
        assert out, faults
        peaks.append(float(out))
        with zipfile.ZipFile(target) as archive:
            assert len(archive.namelist()) == count + 1
            assert archive.read(f"document/{count:06}.pdf") == files[f"{count - 1}.pdf"]
    print(f"{kind}: peak {peaks[0]:.0f} and {peaks[1]:.0f} MiB")
    assert peaks[1] < peaks[0] + 60, peaks
