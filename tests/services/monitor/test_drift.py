"""The monitor's drift rule: which differences between window and reference count."""

import json
from typing import Any

import numpy as np
import pytest

from services.monitor import drift
from services.monitor.drift import Rule
from services.monitor.layout import Layout
from tests.services import monitored_project

REFERENCE = monitored_project.reference_rows(1000)
LAYOUT = Layout.learn(REFERENCE, defaults={"plan": "basic", "remark": "", "age": None})
TABLE = LAYOUT.table(LAYOUT.values(row["record"], row["prediction"]) for row in REFERENCE)


def compared(records: list[dict[str, Any]], **rule: Any) -> dict[str, drift.FieldDrift]:
    """Compare a window of these records with the reference; return the fields by name."""
    window = LAYOUT.table(
        LAYOUT.values(record, monitored_project.predicted(record)) for record in records
    )
    return {each.field: each for each in drift.compare(TABLE, window, LAYOUT, Rule(**rule))}


def drifted(records: list[dict[str, Any]], **rule: Any) -> set[str]:
    return {name for name, each in compared(records, **rule).items() if each.drifted}


def test_no_alarm_in_twenty_undrifted_windows() -> None:
    alarms = {seed: drifted(monitored_project.traffic(400, seed=seed)) for seed in range(100, 120)}
    assert not any(alarms.values()), alarms


@pytest.mark.parametrize(
    ("field", "column", "change"),
    [
        ("age", "age", lambda record, rng: rng.gauss(50, 12)),
        ("age", "age", lambda record, rng: rng.gauss(40, 30)),
        ("age", "age", lambda record, rng: None if rng.random() < 0.4 else record["age"]),
        ("age", "age", lambda record, rng: 1e6 if rng.random() < 0.05 else record["age"]),
        ("visits", "visits", lambda record, rng: record["visits"] + 2),
        ("country", "country", lambda record, rng: rng.choice(["de", "fr", "it", "es"])),
        ("country", "country", lambda record, rng: "pl"),
        ("plan", "plan", lambda record, rng: "gold"),
        ("remark", "remark:digits", lambda record, rng: record["remark"] + " 0123456789"),
        ("remark", "remark:words", lambda record, rng: "no"),
    ],
)
def test_planted_drift_is_found_and_named(field: str, column: str, change: Any) -> None:
    records = monitored_project.traffic(400, seed=5, **{field: change})
    fields = drifted(records)
    assert column in fields
    # A prediction that depends on the field may drift with it; no other field does.
    assert {name for name in fields if not name.startswith(("prediction.", field))} == set()


def test_the_reason_is_reported() -> None:
    missing = compared(monitored_project.traffic(400, seed=6, age=lambda record, rng: None))["age"]
    assert missing.because == ["missing"]
    assert (missing.missing_share, missing.typical) == (1, "none")
    assert missing.reference_missing_share == pytest.approx(0.1, abs=0.04)
    new = compared(monitored_project.traffic(400, seed=6, country=lambda record, rng: "pl"))[
        "country"
    ]
    assert new.new_category_share == 1
    assert new.constant
    far = compared(
        monitored_project.traffic(
            400, seed=6, age=lambda record, rng: 500 if rng.random() < 0.05 else 40
        )
    )["age"]
    assert "range" in far.because
    assert far.out_of_range_share == pytest.approx(0.05, abs=0.04)


def test_a_small_real_difference_raises_no_alarm() -> None:
    """A shift of 0.06 standard deviations, in enough rows to be significant."""
    rng = np.random.default_rng(1)
    rows = [{"record": {"x": x}, "prediction": {"y": 1}} for x in rng.normal(0, 1, 5000).tolist()]
    layout = Layout.learn(rows)
    reference = layout.table(layout.values(row["record"], row["prediction"]) for row in rows)
    window = layout.table(
        layout.values({"x": x}, {"y": 1}) for x in rng.normal(0.06, 1, 50_000).tolist()
    )
    x = drift.compare(reference, window, layout, Rule())[1]
    assert x.p_value < 0.001
    assert not x.drifted
    assert drift.compare(reference, window, layout, Rule(numbers=0.03))[1].drifted


def test_windows_and_references_that_are_too_small_are_errors() -> None:
    with pytest.raises(ValueError, match="window: at least 100 rows are needed, got 99"):
        compared(monitored_project.traffic(99, seed=1))
    with pytest.raises(ValueError, match="reference: at least 2000 rows are needed, got 1000"):
        compared(monitored_project.traffic(2000, seed=1), least_rows=2000)


def test_results_can_be_written_as_json() -> None:
    for each in compared(
        monitored_project.traffic(200, seed=2, age=lambda record, rng: None)
    ).values():
        json.loads(each.model_dump_json())
