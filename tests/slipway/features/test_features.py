"""Features: point-in-time correctness, equality of training and serving, freshness and lineage."""

import json
import random
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from slipway.datasets import DatasetUnavailable
from slipway.features import definitions, lineage, offline, places, tables
from slipway.features.history import training_set
from slipway.features.materialize import materialize
from slipway.features.online import Online
from slipway.features.tables import TIME, customer_days
from tests.conftest import PROJECTS, ROOT, by_name
from tests.services.fake_models import ModelRegistryFixture, echo
from tests.slipway.features.feature_repository import (
    KEY,
    MOMENT,
    SERVICE,
    START,
    TELCO,
    FeatureRepository,
    customers,
    entity_rows,
    rows,
    served,
    stored,
)

# The change of these files runs the tests; see tests/by_change.py.
CONCERNS = ("feature_repo/*", "slipway/features/*")


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


def test_a_row_holds_events_before_its_timestamp(feature_repository: FeatureRepository) -> None:
    table = pq.read_table(offline.build("customer_days")).to_pylist()
    assert len({(row[KEY], row[TIME]) for row in table}) == len(table) > 100
    for row in table:
        counted = stored(feature_repository.lines, row[KEY], row[TIME])
        assert counted == {
            name: pytest.approx(row[name]) if isinstance(row[name], float) else row[name]
            for name in counted
        }


def test_the_size_of_chunks_and_files_changes_nothing(
    feature_repository: FeatureRepository, tmp_path: Path
) -> None:
    file = feature_repository.root / "given" / "online_retail_ii" / customer_days.FILE
    found = []
    for chunk, files in ((100_000, 1), (7, 3)):
        folder = tmp_path / f"dealt-{files}"
        folder.mkdir()
        dealt = customer_days.dealt(customer_days.events(file, chunk), folder, files)
        frames = [customer_days.days(pq.read_table(part).to_pandas()) for part in dealt]
        assert len(frames) == files
        found.append(pd.concat(frames).sort_values([KEY, TIME], ignore_index=True))
    pd.testing.assert_frame_equal(*found)


def test_training_features_are_as_of_their_time(feature_repository: FeatureRepository) -> None:
    offline.build("customer_days")
    draw = random.Random(1)
    keys, moments = [], []
    for key in customers(feature_repository.lines):
        stamps = [line[4] for line in feature_repository.lines if line[6] == key]
        midnight = draw.choice(stamps).replace(hour=0, minute=0) + timedelta(days=1)
        for moment in (midnight, midnight - timedelta(seconds=1), draw.choice(stamps), START):
            if (key, moment) not in zip(keys, moments, strict=True):
                keys.append(key)
                moments.append(moment)
    found = training_set(SERVICE, entity_rows(keys, moments))
    assert found[KEY].tolist() == keys
    wanted = [
        served(feature_repository.lines, key, moment)
        for key, moment in zip(keys, moments, strict=True)
    ]
    names = list(definitions.load().plan(SERVICE).names)
    assert sum(each is None for each in wanted) > len(customers(feature_repository.lines))
    assert sum(each is not None for each in wanted) > len(customers(feature_repository.lines))
    for row, counted in zip(rows(found, names), wanted, strict=True):
        assert row == (pytest.approx(counted) if counted else dict.fromkeys(names))


def test_no_row_of_the_future_leaks_into_the_past(feature_repository: FeatureRepository) -> None:
    """An order planted after the moment, however large, changes nothing before its day is over."""
    keys = customers(feature_repository.lines)
    offline.build("customer_days")
    before = training_set(SERVICE, entity_rows(keys, [MOMENT] * len(keys)))
    # At the time of the entity rows, and a year later.
    for late in (MOMENT, MOMENT + timedelta(days=365)):
        planted = [
            ("999999", "77777", "planted", 1000, late, 1000.0, key, "Atlantis") for key in keys
        ]
        feature_repository.write([*feature_repository.lines, *planted])
    offline.build("customer_days")
    after = training_set(SERVICE, entity_rows(keys, [MOMENT] * len(keys)))
    pd.testing.assert_frame_equal(before, after)
    next_day = MOMENT.replace(hour=0, minute=0) + timedelta(days=1)
    seen = training_set(SERVICE, entity_rows(keys, [next_day] * len(keys)))
    assert seen["abroad"].all()
    assert (seen["spent"] >= 1e6).all()


def test_invalid_entities_are_refused(feature_repository: FeatureRepository) -> None:
    offline.build("customer_days")
    good = entity_rows([1, 2], [MOMENT, MOMENT])
    with pytest.raises(KeyError, match="no feature service 'repurchases'; known: churn, customer"):
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
    feature_repository: FeatureRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = offline.build("customer_days")
    first = file.stat()
    assert offline.build("customer_days").stat() == first
    # The cache is keyed by data and code: another home needs no second build.
    monkeypatch.setenv("SLIPWAY_HOME", str(feature_repository.root / "other"))
    with monkeypatch.context() as patch:
        patch.setattr(customer_days, "rows", None)
        assert offline.build("customer_days").read_bytes() == file.read_bytes()
    count = pq.read_metadata(file).num_rows
    feature_repository.write(
        [*feature_repository.lines, ("999999", "77777", "new", 1, MOMENT, 1.0, 4711, "Eire")]
    )
    assert pq.read_metadata(offline.build("customer_days")).num_rows == count + 1


def test_a_table_out_of_order_is_refused(
    feature_repository: FeatureRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = next(iter(tables.find("customer_days").rows(offline.fetch("online_retail_ii"))))
    for batches, message in (
        ([good, good], "occurs in two batches"),
        ([good.slice(0, 2).take([1, 0])], "must be sorted by customer_id and event_timestamp"),
    ):
        monkeypatch.setattr(customer_days, "rows", lambda _, batches=batches: iter(batches))
        with pytest.raises(ValueError, match=message):
            offline.build("customer_days")
        assert not places.table("customer_days").exists()


def test_a_missing_data_set_affects_only_its_own_views(
    feature_repository: FeatureRepository,
) -> None:
    feature_repository.give("telco_customer_churn", TELCO, b"not the table")
    (feature_repository.root / "given" / "telco_customer_churn" / TELCO).unlink()
    with pytest.raises(
        DatasetUnavailable, match="(?s)telco_customer_churn.*Materialized: .*customer_pur"
    ):
        materialize(until=MOMENT)
    assert Online(timeout=2.0).look_up(SERVICE, KEY, [1])[0] is not None


def test_every_view_has_freshness_metrics(feature_repository: FeatureRepository) -> None:
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
    feature_repository: FeatureRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
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
    assert sha in (feature_repository.root / "pipelines/datasets/online_retail_ii.yaml").read_text()
    fake_models = ModelRegistryFixture(tmp_path / "fake_models")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", fake_models.uri)
    old = {
        **written,
        "views": {**written["views"], "customer_returns": {**view, "definition": "old"}},
    }
    old["views"]["customer_returns"]["features"] = ["returns"]
    for record in (old, written):
        content = json.dumps(record).encode()
        fake_models.add("asker", echo("asker"), weights={lineage.FILE: content})
    fake_models.add("other", echo("other"))
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


def test_a_fingerprint_changes_with_the_definition(feature_repository: FeatureRepository) -> None:
    file = feature_repository.root / "feature_repo" / "online_retail.py"
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
