"""Batch scoring of CSV, Parquet and JSON Lines: valid, invalid and unusual tables."""

import base64
import csv
import json
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.predict.batch.formats import BadTable
from slipway.contract.shipped import Shipped
from tests.services.predict.batch.batch_models import (
    PICTURES,
    read_csv,
    read_json_lines,
    score,
    ship_model,
    write_numbers,
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Shipped:
    return ship_model(tmp_path_factory.mktemp("model"))


def test_a_csv_with_quotes_bom_and_empty_cells_is_read(model: Shipped, tmp_path: Path):
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
    assert read_json_lines(target) == [
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
    ("text", "message"),
    [
        ("number,id\n1,a\n", "columns that are not inputs of the model: 'id'; name them in keep"),
        ("who\nAnn\n", "columns that the model needs are missing: number"),
        ("number,number\n1,2\n", "duplicate columns: number"),
        ("number;who\n1;a\n", "columns that are not inputs of the model: 'number;who'"),
        ("", "is empty"),
        ('number,who\n1,"Ann\n2,Bob\n', "near line 3: unexpected end of data"),
        ('number,who\n1,"A"nn\n', "near line 2: "),
    ],
)
def test_a_csv_that_does_not_fit_the_model_is_refused(
    model: Shipped, tmp_path: Path, text, message
):
    source, target = tmp_path / "in.csv", tmp_path / "out.csv"
    source.write_text(text)
    with pytest.raises(BadTable) as refused:
        score(model, source, target)
    assert f"in.csv: {message}" in str(refused.value)
    assert not target.exists()
    assert not list(target.with_name("out.csv.work").glob("part-*"))


def test_a_latin_1_file_is_refused(model: Shipped, tmp_path: Path):
    source = tmp_path / "in.csv"
    source.write_bytes("number,who\n1,Zoë\n".encode("latin-1"))
    with pytest.raises(BadTable, match="utf-8"):
        score(model, source, tmp_path / "out.csv")


@pytest.mark.parametrize(
    ("keep", "message"),
    [
        (["nobody"], "keep: no such columns: nobody"),
        (["who"], "keep: also a column of the results, rename it: who"),
        (["id", "id"], "keep: a column is named twice"),
    ],
)
def test_columns_that_cannot_be_kept_are_refused(model: Shipped, tmp_path: Path, keep, message):
    source = tmp_path / "in.csv"
    source.write_text("id,number,who\n1,1,a\n")
    with pytest.raises(BadTable, match=message):
        score(model, source, tmp_path / "out.csv", keep=["id", *keep] if keep[0] != "id" else keep)


def test_invalid_paths_are_refused(model: Shipped, tmp_path: Path):
    source = write_numbers(tmp_path / "in.csv", 1)
    with pytest.raises(BadTable, match="must end in one of .csv, .parquet, .jsonl"):
        score(model, source, tmp_path / "out.xlsx")
    with pytest.raises(BadTable, match="is the source itself"):
        score(model, source, source)
    with pytest.raises(FileNotFoundError, match="no such file"):
        score(model, tmp_path / "none.csv", tmp_path / "out.csv")
    with pytest.raises(FileNotFoundError, match="no such folder"):
        score(model, source, tmp_path / "nowhere" / "out.csv")


def test_invalid_rows_get_an_error_and_the_others_a_prediction(model: Shipped, tmp_path: Path):
    source, target = tmp_path / "in.csv", tmp_path / "out.csv"
    source.write_text('number,who,tags\n1,a,\nx,b,\n,c,\n-1,d,\n5\n6,e,{\n7,f,[]\n8,g,"[1]"\n')
    summary = score(model, source, target)
    assert (summary.rows, summary.bad) == (8, 6)
    rows = read_csv(target)
    assert [row["twice"] for row in rows] == ["2", "", "", "", "", "", "14", ""]
    errors = [row["error"] for row in rows]
    assert errors[1].startswith("number: Input should be a valid integer")
    assert errors[2] == "number: Field required"
    assert errors[3] == "number: Input should be greater than or equal to 0"
    assert errors[4] == "row: must have 3 cells as the header, got 1"
    assert errors[5].startswith("tags: must be JSON")
    assert errors[7] == "tags.0: Input should be a valid string"


def test_json_lines_may_omit_fields_and_each_invalid_line_is_one_row(model, tmp_path):
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
    rows = read_json_lines(target)
    assert [row["id"] for row in rows] == [{"k": [1, "ü"]}, 7, None, None, None, None]
    assert [row["twice"] for row in rows] == [2, 4, None, None, None, None]
    assert rows[0]["about"] == {"tags": 1}
    assert rows[2]["error"] == "extra: Extra inputs are not permitted"
    assert rows[3]["error"] == "row: must be a JSON object"
    assert rows[4]["error"].startswith("row: must be JSON")


def test_the_first_line_of_json_names_the_columns(model: Shipped, tmp_path: Path):
    source = tmp_path / "in.jsonl"
    source.write_text('{"number": 1, "id": 1}\n')
    with pytest.raises(BadTable, match="columns that are not inputs of the model: 'id'"):
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
    model = ship_model(tmp_path / "model", PICTURES)
    images = [b"\xff\xfe\x00\x01", b"", b"\x89PNG" * 1000]
    pq.write_table(pa.table({"image": images}), tmp_path / "in.parquet")
    text = [base64.b64encode(each).decode() for each in images]
    (tmp_path / "in.jsonl").write_text("".join(f'{{"image": "{each}"}}\n' for each in text))
    (tmp_path / "in.csv").write_text("image\n" + "".join(f'"{each}"\n' for each in text))
    for suffix in ("parquet", "jsonl", "csv"):
        target = tmp_path / f"from-{suffix}.parquet"
        score(model, tmp_path / f"in.{suffix}", target)
        rows = pq.read_table(target).to_pylist()
        # An empty cell means unknown, not a picture of zero bytes.
        empty = (None, None) if suffix == "csv" else (0, b"")
        heads = [(row["size"], row["head"]) for row in rows]
        assert heads == [(4, b"\xff\xfe"), empty, (4000, b"\x89P")]
    score(model, tmp_path / "in.parquet", tmp_path / "out.csv")
    assert [row["head"] for row in read_csv(tmp_path / "out.csv")] == ["__4=", "", "iVA="]
    pq.write_table(pa.table({"image": text}), tmp_path / "text.parquet")
    with pytest.raises(BadTable, match="image: must be a binary column, is string"):
        score(model, tmp_path / "text.parquet", tmp_path / "text.csv")


def test_a_row_on_which_the_model_fails_does_not_affect_others(model: Shipped, tmp_path: Path):
    source, target = tmp_path / "in.csv", tmp_path / "out.csv"
    source.write_text("number\n" + "".join(f"{n}\n" for n in [*range(50), 666, *range(50)]))
    assert score(model, source, target).bad == 1
    rows = read_csv(target)
    assert [row["twice"] for row in rows if row["twice"]] == [
        str(2 * n) for n in [*range(50), *range(50)]
    ]
    assert rows[50]["error"] == "predict: RuntimeError: 666 is not allowed"


def test_a_table_without_rows_gives_a_table_without_rows(model: Shipped, tmp_path: Path):
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
def test_every_row_is_in_the_results(model, tmp_path_factory, rows, every, formats):
    """For any text, part size and pair of formats; an empty text in a CSV is None."""
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
        ids, values = [row[0] for row in rows], [row[1] for row in rows]
        table = pa.table({"id": pa.array(ids, pa.string()), "number": pa.array(values, pa.int64())})
        pq.write_table(table, source, row_group_size=3)
    summary = score(model, source, target, keep=["id"], rows_per_part=every)
    assert (summary.rows, summary.bad) == (len(rows), 0)
    assert summary.parts == -(-len(rows) // every)
    if formats[1] == "csv":
        results = [(row["id"], int(row["twice"])) for row in read_csv(target)]
    elif formats[1] == "jsonl":
        results = [
            (row["id"] or "", row["twice"])
            for row in map(json.loads, target.read_bytes().split(b"\n")[:-1])
        ]
    else:
        table = pq.read_table(target).to_pylist()
        results = [(row["id"] or "", row["twice"]) for row in table]
    assert results == [(id, 2 * number) for id, number in rows]
