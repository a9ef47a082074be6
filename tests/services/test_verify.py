"""Figures recomputed from a running server; that they agree, each project's contract tests."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from slipway import home
from slipway.training.workspace import Workspace
from slipway.verify import NotVerifiable, connect, verify


@pytest.fixture
def titanic(trained: dict, tmp_path: Path) -> Workspace:
    work = replace(trained["titanic"], folder=tmp_path / "titanic")
    shutil.copytree(trained["titanic"].folder, work.folder)
    return work


def test_a_figure_written_by_hand_shows(titanic: Workspace, server: httpx.Client) -> None:
    found = json.loads(titanic.metrics.read_text())
    true = found["metrics"]["accuracy"]
    found["metrics"] |= {"accuracy": true + 0.01, "charm": 1.0}
    titanic.metrics.write_text(json.dumps(found))
    told = verify(titanic, server).differing
    assert [line.partition(":")[0] for line in told] == ["accuracy", "charm"]
    assert told[0].startswith(f"accuracy: {true + 0.01} in metrics.json, 0.")
    assert told[1] == "charm: 1.0 in metrics.json, None served"


def test_other_truths_give_other_figures(titanic: Workspace, server: httpx.Client) -> None:
    """Figures are of the rows sent: with every truth turned round accuracy is what was wrong."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    file = titanic.data / "test.parquet"
    table = pq.read_table(file)
    place = table.schema.get_field_index("truth")
    pq.write_table(table.set_column(place, "truth", pc.invert(table["truth"])), file)
    found = verify(titanic, server)
    assert found.served["accuracy"] == pytest.approx(1 - found.recorded["accuracy"], abs=1e-5)


def test_what_was_not_trained_here_is_named(titanic: Workspace, server: httpx.Client) -> None:
    shutil.rmtree(titanic.data)
    with pytest.raises(NotVerifiable, match="titanic has no test rows .*: slipway repro titanic"):
        verify(titanic, server)


def test_a_server_that_is_not_there_is_named(titanic: Workspace) -> None:
    address = f"http://{home.LOOPBACK}:{home.free_port()}"
    with connect(address) as client, pytest.raises(NotVerifiable, match=f"{address}.*make up"):
        verify(titanic, client)
