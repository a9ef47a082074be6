"""Metrics recomputed from a running server. Each project's contract test checks that they agree."""

import json
import shutil
from pathlib import Path

import httpx
import pytest

from slipway import home
from slipway.projects.verify import NotVerifiable, connect, verify
from slipway.training.workspace import Workspace
from tests.small_models import SmallModels
from tests.workspaces import linked


@pytest.fixture
def loans(small_models: SmallModels, tmp_path: Path) -> Workspace:
    return linked(small_models.works["loans"], tmp_path / "loans")


def test_a_metric_edited_by_hand_is_found(loans: Workspace, server: httpx.Client) -> None:
    found = json.loads(loans.metrics.read_text())
    true = found["metrics"]["accuracy"]
    found["metrics"] |= {"accuracy": true + 0.01, "charm": 1.0}
    loans.metrics.write_text(json.dumps(found))
    lines = verify(loans, server).differing
    assert [line.partition(":")[0] for line in lines] == ["accuracy", "charm"]
    assert lines[0].startswith(f"accuracy: {true + 0.01} in metrics.json, 0.")
    assert lines[1] == "charm: 1.0 in metrics.json, None served"


def test_other_labels_give_other_metrics(loans: Workspace, server: httpx.Client) -> None:
    """Metrics depend on the test rows: with inverted labels the accuracy is inverted, too."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    file = loans.data / "test.parquet"
    table = pq.read_table(file)
    place = table.schema.get_field_index("truth")
    file.unlink()  # a link, whose target belongs to the small models
    pq.write_table(table.set_column(place, "truth", pc.invert(table["truth"])), file)
    found = verify(loans, server)
    assert found.served["accuracy"] == pytest.approx(1 - found.recorded["accuracy"], abs=1e-5)


def test_an_untrained_project_is_named(loans: Workspace, server: httpx.Client) -> None:
    shutil.rmtree(loans.data)
    with pytest.raises(NotVerifiable, match="loans has no test rows .*: slipway repro loans"):
        verify(loans, server)


def test_an_unreachable_server_is_named(loans: Workspace) -> None:
    address = f"http://{home.LOOPBACK}:{home.free_port()}"
    with connect(address) as client, pytest.raises(NotVerifiable, match=f"{address}.*make up"):
        verify(loans, client)
