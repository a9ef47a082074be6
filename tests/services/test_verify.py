"""Figures recomputed from a running server; that they agree, each project's contract tests."""

import json
import shutil
from pathlib import Path

import httpx
import pytest

from slipway import home
from slipway.training.workspace import Workspace
from slipway.verify import NotVerifiable, connect, verify
from tests.small_models import SmallModels
from tests.workspaces import linked


@pytest.fixture
def loans(small_models: SmallModels, tmp_path: Path) -> Workspace:
    return linked(small_models.works["loans"], tmp_path / "loans")


def test_a_figure_written_by_hand_shows(loans: Workspace, server: httpx.Client) -> None:
    found = json.loads(loans.metrics.read_text())
    true = found["metrics"]["accuracy"]
    found["metrics"] |= {"accuracy": true + 0.01, "charm": 1.0}
    loans.metrics.write_text(json.dumps(found))
    told = verify(loans, server).differing
    assert [line.partition(":")[0] for line in told] == ["accuracy", "charm"]
    assert told[0].startswith(f"accuracy: {true + 0.01} in metrics.json, 0.")
    assert told[1] == "charm: 1.0 in metrics.json, None served"


def test_other_truths_give_other_figures(loans: Workspace, server: httpx.Client) -> None:
    """Figures are of the rows sent: with every truth turned round accuracy is what was wrong."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    file = loans.data / "test.parquet"
    table = pq.read_table(file)
    place = table.schema.get_field_index("truth")
    file.unlink()  # a link: what it names is the small models' own
    pq.write_table(table.set_column(place, "truth", pc.invert(table["truth"])), file)
    found = verify(loans, server)
    assert found.served["accuracy"] == pytest.approx(1 - found.recorded["accuracy"], abs=1e-5)


def test_what_was_not_trained_here_is_named(loans: Workspace, server: httpx.Client) -> None:
    shutil.rmtree(loans.data)
    with pytest.raises(NotVerifiable, match="loans has no test rows .*: slipway repro loans"):
        verify(loans, server)


def test_a_server_that_is_not_there_is_named(loans: Workspace) -> None:
    address = f"http://{home.LOOPBACK}:{home.free_port()}"
    with connect(address) as client, pytest.raises(NotVerifiable, match=f"{address}.*make up"):
        verify(loans, client)
