"""Materialization and the online store: equality with training, steps, memory, unknown keys."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from slipway.features import definitions, marks, offline, places
from slipway.features.history import training_set
from slipway.features.materialize import materialize
from slipway.features.online import FeaturesUnavailable, Online
from slipway.features.tables import TIME, customer_days
from tests.slipway.features.feature_repository import (
    KEY,
    MOMENT,
    SERVICE,
    START,
    FeatureRepository,
    customers,
    entity_rows,
    rows,
    served,
)

# The change of these files runs the tests; see tests/by_change.py.
CONCERNS = ("feature_repo/*", "slipway/features/*")


def look_up(keys: list[str | int]) -> list[dict[str, object] | None]:
    return Online(timeout=2.0).look_up(SERVICE, KEY, keys)


def test_online_features_are_the_training_features(feature_repository: FeatureRepository) -> None:
    keys = customers(feature_repository.lines)
    offline.build("customer_days")
    for day in (60, 120, 400):
        moment = START + timedelta(days=day)
        materialize(until=moment)
        trained = training_set(SERVICE, entity_rows(keys, [moment] * len(keys)))
        names = list(definitions.load().plan(SERVICE).names)
        for online, row in zip(look_up(list(keys)), rows(trained, names), strict=True):
            if row["orders"] is None:
                assert online is None
            else:
                assert online == pytest.approx(row, abs=1e-3)  # the clock runs on: 86 s


def test_materializing_in_steps_gives_the_same(feature_repository: FeatureRepository) -> None:
    keys = list(customers(feature_repository.lines))
    at_once = materialize(anew=True)
    wanted = look_up(keys)
    [retail] = [each for each in at_once if each.view == "customer_purchases"]
    assert retail.newest == max(
        row[TIME] for row in pq.read_table(places.table("customer_days")).to_pylist()
    )
    materialize(until=START + timedelta(days=50), anew=True, batch_rows=7)
    assert look_up(keys) != wanted
    for day in (51, 130, 131):
        materialize(until=START + timedelta(days=day), batch_rows=7)
    last = materialize(batch_rows=7)
    # The flights end long before the replay, so the clock of their views stays.
    replayed = START + timedelta(days=131)
    assert [each.until for each in last] == [max(each.until, replayed) for each in at_once]
    for one, other in zip(look_up(keys), wanted, strict=True):
        assert one == pytest.approx(other, abs=1e-3)
    again = materialize(batch_rows=7)
    assert [each.rows for each in again] == [each.rows for each in last]


def test_the_store_goes_back_only_if_emptied(feature_repository: FeatureRepository) -> None:
    keys = list(customers(feature_repository.lines))
    materialize(until=MOMENT)
    early = START + timedelta(days=40)
    with pytest.raises(ValueError, match="cannot go back to 2010-02-13.*--anew"):
        materialize(until=early)
    materialize(until=early, anew=True)
    known = [served(feature_repository.lines, key, early) for key in keys]
    for found, counted in zip(look_up(keys), known, strict=True):
        assert found == (pytest.approx(counted, abs=1e-3) if counted else None)
    assert None in known
    with pytest.raises(ValueError, match="until must have a time zone"):
        materialize(until=datetime(2010, 5, 1))


def test_a_changed_definition_empties_its_view(feature_repository: FeatureRepository) -> None:
    view, early = "customer_returns", START + timedelta(days=40)
    (first,) = materialize(until=MOMENT, views=[view])
    with pytest.raises(ValueError, match="cannot go back"):
        materialize(until=early, views=[view])
    file = feature_repository.root / "feature_repo" / "online_retail.py"
    text = file.read_text()
    assert '"returns", dtype=Int64' in text
    file.write_text(text.replace('"returns", dtype=Int64', '"returns", dtype=Float64'))
    definitions._load.cache_clear()
    (second,) = materialize(until=early, views=[view])
    assert second.definition != first.definition
    assert 0 < second.rows < first.rows


# In a separate process, because Arrow's maximum memory is that of the whole process.
READ = """
import sys
import time
from datetime import datetime

import pyarrow as pa
import pyarrow.dataset as ds

from slipway.features import definitions
from slipway.features.materialize import _batches

file, moment, size = sys.argv[1:]
view = definitions.load().view("customer_purchases")
read = _batches(view, ds.dataset(file), None, datetime.fromisoformat(moment), int(size))
rows = 0
for batch in read:
    rows += batch.num_rows
    # A slow consumer: batches must not accumulate.
    time.sleep(0.003)
print(rows, pa.default_memory_pool().max_memory())
"""


def test_memory_is_bounded_by_the_batch(feature_repository: FeatureRepository) -> None:
    """A table of 1,000 batches is read with less than a tenth of it in memory."""
    count = 1_000_000
    schema = customer_days.SCHEMA
    stamps = pa.array([MOMENT] * count, schema.field(TIME).type)
    table = pa.table(
        {
            field.name: stamps
            if pa.types.is_timestamp(field.type)
            else pa.array(range(count)).cast(field.type)
            for field in schema
            if field.name != "abroad"
        }
    ).append_column("abroad", pa.array([True] * count))
    file = feature_repository.root / "large.parquet"
    pq.write_table(table, file, row_group_size=20_000)
    words = [sys.executable, "-c", READ, str(file), MOMENT.isoformat(), "1000"]
    output = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    rows, highest = map(int, output.split())
    assert rows == count
    assert 0 < highest < table.nbytes / 10


def test_invalid_keys_are_unknown(feature_repository: FeatureRepository) -> None:
    materialize(until=MOMENT)
    (one,) = look_up([1])
    assert one is not None
    keys = ["1", 99_999, "no number", "", 2**70, "1.5", -1, 1]
    found = look_up(keys)
    assert [each is not None for each in found] == [True, *[False] * 6, True]
    assert found[0] == pytest.approx(one, abs=1e-3)
    assert look_up([]) == []
    online = Online()
    with pytest.raises(ValueError, match="is looked up by customer_id, not customer"):
        online.look_up(SERVICE, "customer", [1])
    with pytest.raises(KeyError, match="no feature service 'none'"):
        online.look_up("none", KEY, [1])
    with pytest.raises(ValueError, match="timeout must be above 0 seconds, got 0"):
        Online(timeout=0)


def test_without_a_store_features_are_unavailable_until_there_is_one(
    feature_repository: FeatureRepository,
) -> None:
    online = Online(timeout=2.0)
    with pytest.raises(FeaturesUnavailable, match="no online.db in .*: run slipway features mat"):
        online.warm(SERVICE)
    materialize(until=MOMENT)
    assert online.look_up(SERVICE, KEY, [1])[0] is not None
    # A replaced file is noticed.
    places.online_file().unlink()
    with pytest.raises(FeaturesUnavailable):
        online.look_up(SERVICE, KEY, [1])
    materialize(until=START + timedelta(days=1))
    assert online.look_up(SERVICE, KEY, [40]) == [None]


def test_the_clock_of_the_store_starts_at_the_end_of_its_data() -> None:
    filled = datetime(2026, 1, 1, tzinfo=UTC)
    mark = marks.Mark("view", "abc", MOMENT, filled, 3, None)
    assert marks.Mark.parsed(mark.dumped()) == mark
    later = filled + timedelta(hours=30)
    assert marks.clock([mark], later) == MOMENT + timedelta(hours=30)
    assert marks.clock([], later) == later


def test_routes_are_looked_up_with_the_delays_of_the_days_before(
    feature_repository: FeatureRepository,
) -> None:
    """The newest morning is that of 1 July, a Sunday; no flight of that day counts."""
    materialize(views=["flight_mornings"])
    to_boston, to_chicago, nobody = Online(timeout=2.0).look_up(
        "flight_delay", "route", ["ATL-BOS", "ATL-ORD", "BOS-ATL"]
    )
    assert nobody is None
    assert to_boston is not None
    assert to_chicago is not None
    assert (to_boston["origin"], to_boston["destination"]) == ("ATL", "BOS")
    assert (to_boston["distance"], to_boston["weekday"]) == (700, 6)
    assert to_boston["origin_flights"] == pytest.approx(4 / 28)
    assert to_boston["route_flights"] == pytest.approx(2 / 28)
    # A share counts five flights more, one of them late.
    assert to_boston["route_yesterday"] == pytest.approx(1 / 5)
    assert to_boston["route_week"] == pytest.approx(2 / 7)
    assert to_chicago["route_yesterday"] == pytest.approx(2 / 7)
    assert to_boston["network_yesterday"] == to_chicago["network_yesterday"]
    assert to_boston["origin_month"] == pytest.approx(3 / 9)


def test_telephone_customers_are_looked_up_by_id(feature_repository: FeatureRepository) -> None:
    materialize(views=["telco_household", "telco_services", "telco_billing"])
    online = Online(timeout=2.0)
    billed, new, nobody = online.look_up(
        "churn", "telco_customer_id", ["0002-AAAAA", "0001-AAAAA", "0003-AAAAA"]
    )
    assert nobody is None
    assert billed is not None
    assert (billed["tenure"], billed["total_charges"], billed["internet_service"]) == (
        34,
        1889.5,
        "dsl",
    )
    assert billed["senior_citizen"] is billed["online_security"] is True
    assert new is not None
    assert (new["total_charges"], new["internet_service"]) == (None, "none")
    assert new["contract"] == "two_year"
