"""A batch gets the same response by columns as by records: predictions, refusals and messages."""

import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from services.predict import engine
from services.predict.engine import Engine
from services.predict.json_columns.fields import fields_of
from services.predict.json_columns.reader import ColumnReader
from services.web.problem import Problem
from slipway.contract import Record
from tests.services.predict.json_columns.record_types import FIELDS, HOSTILE, echo, record_type

MOST_ROWS = 6


@pytest.fixture(autouse=True)
def _small_batches_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "COLUMN_BYTES", 0)


def valid_rows(names: list[str]) -> st.SearchStrategy[list[dict[str, str]]]:
    row = st.fixed_dictionaries({name: st.sampled_from(FIELDS[name][1]) for name in names})
    return st.lists(row, min_size=1, max_size=MOST_ROWS)


def some_names() -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(sorted(FIELDS)), min_size=1, max_size=6, unique=True)


def as_body(rows: list[list[tuple[str, str]]]) -> bytes:
    objects = (", ".join(f"{json.dumps(key)}: {text}" for key, text in row) for row in rows)
    return f"[{', '.join(f'{{{each}}}' for each in objects)}]".encode()


@st.composite
def bodies(draw: st.DrawFn) -> tuple[list[str], bytes]:
    """Return the fields of a record type, and a batch of its records with a few faults."""
    names = draw(some_names())
    rows = [list(row.items()) for row in draw(valid_rows(names))]
    for _ in range(draw(st.integers(0, 2))):
        row = draw(st.sampled_from(rows))
        place = draw(st.integers(0, max(0, len(row) - 1)))
        fault = draw(st.sampled_from(["value", "value", "missing", "extra", "twice", "order"]))
        if fault == "value" and row:
            row[place] = (row[place][0], draw(st.sampled_from(HOSTILE)))
        elif fault == "missing" and row:
            del row[place]
        elif fault == "extra":
            row.append((draw(st.sampled_from(["extra", "", "\u00e9"])), "1"))
        elif fault == "twice":
            name = draw(st.sampled_from(names))
            row.append((name, draw(st.sampled_from([*FIELDS[name][1], *HOSTILE]))))
        elif fault == "order":
            row.reverse()
    return names, draw(damaged(as_body(rows)))


@st.composite
def damaged(draw: st.DrawFn, body: bytes) -> bytes:
    """Return the body, in most cases as it is."""
    place = draw(st.integers(0, len(body)))
    return draw(
        st.sampled_from(
            [
                *[body] * 6,
                b" \n" + body + b"\t",
                b"\xef\xbb\xbf" + body,
                body + b"]",
                body[:place],
                body[:place] + b"\xff" + body[place:],
                body[:place] + b"\0" + body[place:],
                body[:place] + b",null" + body[place:],
                b"[" + body + b"]",
                body[1:-1],
                b"[]",
                b"[null]",
                b"[" * 300 + b"]" * 300,
            ]
        )
    )


def outcome(served: Engine, body: bytes) -> tuple[str, bytes]:
    try:
        return "predictions", served.predict(body).predictions
    except Problem as problem:
        return str(problem.status), problem.body()


def both_outcomes(names: list[str], body: bytes) -> list[tuple[str, bytes]]:
    by_record, by_column = (Engine(echo(record_type(names)), batch_rows=4) for _ in range(2))
    valid = {name: json.loads(FIELDS[name][1][0]) for name in names}
    by_column.use_columns([valid])
    assert by_column._column_path is not None
    return [outcome(by_record, body), outcome(by_column, body)]


@settings(max_examples=400, deadline=None)
@given(bodies())
@example((["number"], b'[{"number": "x"}, {"number": 1}]'))
@example((["number"], b"[" + b'{"number": 1},' * 4 + b'{"number": 1}]'))
@example((["whole"], b'[{"whole": 9007199254740993.0}]'))
@example((["number"], b'[{"num\\u0062er": 1}, {"number": 2}]'))
@example((["number"], b'[{"number": 1, "num\\u0062er": 2}]'))
@example((["number"], b'[{"number": 123456789012345678901234567890}]'))
@example((["whole"], b'[{"whole": 123456789012345678901234567890}]'))
@example((["number"], b'[{"number": 1e400}]'))
@example((["number"], b'[{"number": -0}, {"number": 1E+2}]'))
def test_responses_are_the_same(case: tuple[list[str], bytes]) -> None:
    names, body = case
    by_record, by_column = both_outcomes(names, body)
    assert by_column == by_record


@settings(max_examples=400, deadline=None)
@given(bodies())
def test_columns_hold_what_records_hold(case: tuple[list[str], bytes]) -> None:
    names, body = case
    kind = record_type(names)
    columns = ColumnReader(fields_of(kind), batch_rows=MOST_ROWS).read(body)
    if columns is None:
        return
    records: list[Record] = Engine(echo(kind), batch_rows=MOST_ROWS).parse(body)
    assert list(columns) == names
    for name, column in columns.items():
        wanted = [getattr(each, name) for each in records]
        # As text: -0.0 is no 0.0, and 1 no True.
        assert repr(column.tolist()) == repr(wanted)


@settings(max_examples=200, deadline=None)
@given(some_names().flatmap(lambda names: st.tuples(st.just(names), valid_rows(names))))
def test_plainly_valid_batches_are_read_as_columns(
    case: tuple[list[str], list[dict[str, str]]],
) -> None:
    names, rows = case
    reader = ColumnReader(fields_of(record_type(names)), batch_rows=MOST_ROWS)
    columns = reader.read(as_body([list(row.items()) for row in rows]))
    assert columns is not None
    assert {column.shape for column in columns.values()} == {(len(rows),)}


def test_requests_that_wait_share_calls_in_order() -> None:
    served = Engine(echo(record_type(["number"])), batch_rows=4)
    served.use_columns([{"number": 1.5}])
    sent = [b'[{"number": 1}]', b'{"number": 2}', b'[{"number": "x"}]', b'[{"number": "3"}]']
    found = served.predict_together(sent)
    one, two, refused, three = found
    assert isinstance(refused, Problem)
    assert "0.number" in refused.detail
    assert [each.predictions for each in (one, two, three) if not isinstance(each, Problem)] == [
        b'[{"number":1.0}]',
        b'[{"number":2.0}]',
        b'[{"number":3.0}]',
    ]


def test_many_empty_objects_are_not_parsed_into_python() -> None:
    reader = ColumnReader(fields_of(record_type(["number"])), batch_rows=10)
    for piece in (b"{},", b"[],"):
        body = b"[" + piece * 2**20 + piece[:-1] + b"]"
        assert not reader._holds_few(body)
        assert reader.read(body) is None
