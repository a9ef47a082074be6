"""Features: point-in-time correctness, equality of training and serving, freshness and lineage."""

import json
import random
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from slipway.datasets import DatasetUnavailable
from slipway.features import definitions, lineage, marks, offline, places, tables
from slipway.features.history import training_set
from slipway.features.materialize import materialize
from slipway.features.online import FeaturesUnavailable, Online
from slipway.features.tables import TIME, customer_days
from tests.conftest import PROJECTS, ROOT, by_name
from tests.services.fake_models import ModelRegistryFixture, echo
from tests.slipway.retail_data import (
    KEY,
    MOMENT,
    SERVICE,
    START,
    TELCO,
    Shop,
    customers,
    entity_rows,
    made_up,
    rows,
    served,
    stored,
)


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    made = Shop(tmp_path)
    made.write(made_up())
    made.enter(monkeypatch)
    return made


def test_looking_up_does_not_import_torch() -> None:
    code = (
        "import sys\n"
        "import slipway.features.online_stores\n"
        "from slipway.features import definitions\n"
        "definitions.load()\n"
        "assert 'feast' in sys.modules and 'torch' not in sys.modules\n"
        "import torch\n"
        "print(torch.ones(2).sum().item())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "2.0\n", done.stderr


def test_a_row_holds_events_before_its_timestamp(shop: Shop) -> None:
    table = pq.read_table(offline.build("customer_days")).to_pylist()
    assert len({(row[KEY], row[TIME]) for row in table}) == len(table) > 100
    for row in table:
        counted = stored(shop.lines, row[KEY], row[TIME])
        assert counted == {
            name: pytest.approx(row[name]) if isinstance(row[name], float) else row[name]
            for name in counted
        }


def test_the_size_of_chunks_and_files_changes_nothing(shop: Shop, tmp_path: Path) -> None:
    file = shop.root / "given" / "online_retail_ii" / customer_days.FILE
    found = []
    for chunk, files in ((100_000, 1), (7, 3)):
        folder = tmp_path / f"dealt-{files}"
        folder.mkdir()
        dealt = customer_days.dealt(customer_days.events(file, chunk), folder, files)
        frames = [customer_days.days(pq.read_table(part).to_pandas()) for part in dealt]
        assert len(frames) == files
        found.append(pd.concat(frames).sort_values([KEY, TIME], ignore_index=True))
    pd.testing.assert_frame_equal(*found)


def test_training_features_are_as_of_their_time(shop: Shop) -> None:
    offline.build("customer_days")
    draw = random.Random(1)
    keys, moments = [], []
    for key in customers(shop.lines):
        stamps = [line[4] for line in shop.lines if line[6] == key]
        midnight = draw.choice(stamps).replace(hour=0, minute=0) + timedelta(days=1)
        for moment in (midnight, midnight - timedelta(seconds=1), draw.choice(stamps), START):
            if (key, moment) not in zip(keys, moments, strict=True):
                keys.append(key)
                moments.append(moment)
    found = training_set(SERVICE, entity_rows(keys, moments))
    assert found[KEY].tolist() == keys
    wanted = [served(shop.lines, key, moment) for key, moment in zip(keys, moments, strict=True)]
    names = list(definitions.load().plan(SERVICE).names)
    assert sum(each is None for each in wanted) > len(customers(shop.lines))
    assert sum(each is not None for each in wanted) > len(customers(shop.lines))
    for row, counted in zip(rows(found, names), wanted, strict=True):
        assert row == (pytest.approx(counted) if counted else dict.fromkeys(names))


def test_no_row_of_the_future_leaks_into_the_past(shop: Shop) -> None:
    """An order planted after the moment, however large, changes nothing before its day is over."""
    keys = customers(shop.lines)
    offline.build("customer_days")
    before = training_set(SERVICE, entity_rows(keys, [MOMENT] * len(keys)))
    # At the time of the entity rows, and a year later.
    for late in (MOMENT, MOMENT + timedelta(days=365)):
        planted = [
            ("999999", "77777", "planted", 1000, late, 1000.0, key, "Atlantis") for key in keys
        ]
        shop.write([*shop.lines, *planted])
    offline.build("customer_days")
    after = training_set(SERVICE, entity_rows(keys, [MOMENT] * len(keys)))
    pd.testing.assert_frame_equal(before, after)
    next_day = MOMENT.replace(hour=0, minute=0) + timedelta(days=1)
    seen = training_set(SERVICE, entity_rows(keys, [next_day] * len(keys)))
    assert seen["abroad"].all()
    assert (seen["spent"] >= 1e6).all()


def test_invalid_entities_are_refused(shop: Shop) -> None:
    offline.build("customer_days")
    good = entity_rows([1, 2], [MOMENT, MOMENT])
    with pytest.raises(KeyError, match="no feature service 'repurchases'; known: churn, repurch"):
        training_set("repurchases", good)
    with pytest.raises(ValueError, match="entities need the column customer_id"):
        training_set(SERVICE, good.rename(columns={KEY: "customer"}))
    with pytest.raises(ValueError, match="must have a time zone, got datetime64"):
        training_set(SERVICE, good.assign(**{TIME: good[TIME].dt.tz_localize(None)}))
    with pytest.raises(ValueError, match="orders is a feature's name"):
        training_set(SERVICE, good.assign(orders=1))
    with pytest.raises(ValueError, match="customer_id 1 at 2010-07-23 .* occurs twice"):
        training_set(SERVICE, entity_rows([1, 2, 1], [MOMENT] * 3))


def test_a_table_is_rebuilt_only_if_data_or_code_changed(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = offline.build("customer_days")
    first = file.stat()
    assert offline.build("customer_days").stat() == first
    # The cache is keyed by data and code: another home needs no second build.
    monkeypatch.setenv("SLIPWAY_HOME", str(shop.root / "other"))
    with monkeypatch.context() as patch:
        patch.setattr(customer_days, "rows", None)
        assert offline.build("customer_days").read_bytes() == file.read_bytes()
    count = pq.read_metadata(file).num_rows
    shop.write([*shop.lines, ("999999", "77777", "new", 1, MOMENT, 1.0, 4711, "Eire")])
    assert pq.read_metadata(offline.build("customer_days")).num_rows == count + 1


def test_a_table_out_of_order_is_refused(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    good = next(iter(tables.find("customer_days").rows(offline.fetch("online_retail_ii"))))
    for batches, message in (
        ([good, good], "occurs in two batches"),
        ([good.slice(0, 2).take([1, 0])], "must be sorted by customer_id and event_timestamp"),
    ):
        monkeypatch.setattr(customer_days, "rows", lambda _, batches=batches: iter(batches))
        with pytest.raises(ValueError, match=message):
            offline.build("customer_days")
        assert not places.table("customer_days").exists()


def look_up(keys: list[str | int]) -> list[dict[str, object] | None]:
    return Online(timeout=2.0).look_up(SERVICE, KEY, keys)


def test_online_features_are_the_training_features(shop: Shop) -> None:
    keys = customers(shop.lines)
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


def test_materializing_in_steps_gives_the_same(shop: Shop) -> None:
    keys = list(customers(shop.lines))
    at_once = materialize(anew=True)
    wanted = look_up(keys)
    assert at_once[0].newest == max(
        row[TIME] for row in pq.read_table(places.table("customer_days")).to_pylist()
    )
    materialize(until=START + timedelta(days=50), anew=True, batch_rows=7)
    assert look_up(keys) != wanted
    for day in (51, 130, 131):
        materialize(until=START + timedelta(days=day), batch_rows=7)
    last = materialize(batch_rows=7)
    assert [each.until for each in last] == [each.until for each in at_once]
    for one, other in zip(look_up(keys), wanted, strict=True):
        assert one == pytest.approx(other, abs=1e-3)
    again = materialize(batch_rows=7)
    assert [each.rows for each in again] == [each.rows for each in last]


def test_the_store_goes_back_only_if_emptied(shop: Shop) -> None:
    keys = list(customers(shop.lines))
    materialize(until=MOMENT)
    early = START + timedelta(days=40)
    with pytest.raises(ValueError, match="cannot go back to 2010-02-13.*--anew"):
        materialize(until=early)
    materialize(until=early, anew=True)
    known = [served(shop.lines, key, early) for key in keys]
    for found, counted in zip(look_up(keys), known, strict=True):
        assert found == (pytest.approx(counted, abs=1e-3) if counted else None)
    assert None in known
    with pytest.raises(ValueError, match="until must have a time zone"):
        materialize(until=datetime(2010, 5, 1))


def test_a_changed_definition_empties_its_view(shop: Shop) -> None:
    view, early = "customer_returns", START + timedelta(days=40)
    (first,) = materialize(until=MOMENT, views=[view])
    with pytest.raises(ValueError, match="cannot go back"):
        materialize(until=early, views=[view])
    file = shop.root / "feature_repo" / "online_retail.py"
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


def test_memory_is_bounded_by_the_batch(shop: Shop) -> None:
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
    file = shop.root / "large.parquet"
    pq.write_table(table, file, row_group_size=20_000)
    words = [sys.executable, "-c", READ, str(file), MOMENT.isoformat(), "1000"]
    output = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    rows, highest = map(int, output.split())
    assert rows == count
    assert 0 < highest < table.nbytes / 10


def test_invalid_keys_are_unknown(shop: Shop) -> None:
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


def test_without_a_store_features_are_unavailable_until_there_is_one(shop: Shop) -> None:
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


def test_telephone_customers_are_looked_up_by_id(shop: Shop) -> None:
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


def test_a_missing_data_set_affects_only_its_own_views(shop: Shop) -> None:
    shop.give("telco_customer_churn", TELCO, b"not the table")
    (shop.root / "given" / "telco_customer_churn" / TELCO).unlink()
    with pytest.raises(
        DatasetUnavailable, match="(?s)telco_customer_churn.*Materialized: customer_pur"
    ):
        materialize(until=MOMENT)
    assert look_up([1])[0] is not None


def test_every_view_has_freshness_metrics(shop: Shop) -> None:
    from prometheus_client import CollectorRegistry

    from slipway.features.freshness import FreshnessCollector, freshness

    registry = CollectorRegistry()
    registry.register(FreshnessCollector())

    def gauge(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(f"slipway_features_{name}", labels)

    view = "customer_returns"
    assert gauge("store_up") == 0
    assert gauge("view_materialized", view=view) is None
    (mark,) = materialize(until=MOMENT, views=[view])
    assert gauge("store_up") == 1
    assert gauge("view_materialized", view=view) == 1
    assert gauge("view_materialized", view="telco_billing") == 0
    assert gauge("view_current", view=view) == 1
    assert gauge("materialized_rows", view=view) == mark.rows > 0
    filled = gauge("last_materialization_timestamp_seconds", view=view)
    assert filled == pytest.approx(datetime.now(UTC).timestamp(), abs=60)
    assert mark.newest is not None
    age = gauge("newest_event_age_seconds", view=view)
    assert age == pytest.approx((MOMENT - mark.newest).total_seconds(), abs=60)
    assert gauge("newest_event_age_seconds", view="telco_billing") is None
    assert {each.view for each in freshness() if each.mark} == {view}


def test_lineage_links_versions_and_features(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = tmp_path / "weights"
    weights.mkdir()
    lineage.write(SERVICE, weights)
    written = json.loads((weights / lineage.FILE).read_text())
    view = written["views"]["customer_purchases"]
    assert view["definition"] == definitions.fingerprint(
        definitions.load().view("customer_purchases")
    )
    (sha,) = view["source"]["files"].values()
    assert sha in (shop.root / "pipelines/datasets/online_retail_ii.yaml").read_text()
    zoo = ModelRegistryFixture(tmp_path / "zoo")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", zoo.uri)
    old = {
        **written,
        "views": {**written["views"], "customer_returns": {**view, "definition": "old"}},
    }
    old["views"]["customer_returns"]["features"] = ["returns"]
    for record in (old, written):
        content = json.dumps(record).encode()
        zoo.add("asker", echo("asker"), weights={lineage.FILE: content})
    zoo.add("other", echo("other"))
    new, first = lineage.of_model("asker")
    assert (new.version, new.aliases, new.changed()) == ("2", ("champion",), [])
    assert (first.version, first.aliases, first.changed()) == ("1", (), ["customer_returns"])
    assert lineage.of_model("other") == []
    assert len(lineage.of_feature("customer_at_request", "average_order")) == 2
    assert [each.version for each in lineage.of_feature("customer_returns", "returned")] == ["2"]
    assert lineage.of_feature("telco_billing") == []
    with pytest.raises(KeyError, match="no model 'nobody' is registered"):
        lineage.of_model("nobody")
    with pytest.raises(KeyError, match="customer_returns has no feature 'orders'"):
        lineage.of_feature("customer_returns", "orders")


def test_a_fingerprint_changes_with_the_definition(shop: Shop) -> None:
    file = shop.root / "feature_repo" / "online_retail.py"
    text = file.read_text()

    def prints() -> dict[str, str]:
        definitions._load.cache_clear()
        known = definitions.load()
        views = {**known.views, **known.on_demand}
        return {name: definitions.fingerprint(view) for name, view in views.items()}

    before = prints()
    for old, new, changed in (
        ("spent / orders,", "spent / orders / 1,", {"customer_at_request"}),
        ('"returns", dtype=Int64', '"returns", dtype=Float64', {"customer_returns"}),
        ('description="Basket habits"', 'description="Baskets"', set()),
    ):
        assert old in text
        file.write_text(text.replace(old, new, 1))
        after = prints()
        assert {name for name in before if before[name] != after[name]} == changed


@pytest.mark.parametrize("project", PROJECTS, ids=by_name)
def test_looked_up_features_have_the_names_of_record_fields(project) -> None:
    lookup = project.model().looked_up
    if lookup is None:
        return
    plan = definitions.load().plan(lookup.service)
    fields = project.model().input_type().model_fields
    assert plan.key == lookup.entity
    assert set(plan.names) <= set(fields)
    assert {name for name, field in fields.items() if field.is_required()} <= set(plan.names)
