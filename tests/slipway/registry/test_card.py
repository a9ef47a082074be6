"""The tables of a model card and of a project's README."""

from pathlib import Path

from slipway.registry.card import candidates_table
from slipway.training.workspace import Workspace
from tests.small_models import project


def test_metrics_that_the_baseline_lacks_have_a_second_table(
    tmp_path: Path,
) -> None:
    tried = {
        "baseline": {"accuracy": 0.5, "dollars": 43391.4},
        "forest": {"accuracy": 0.75, "accuracy_std": 0.01},
        "join": {"seconds": 2.0},
        "broken": {},
        "private": {"accuracy": 0.6, "epsilon": 2.71828},
    }
    work = Workspace.tiny(project("loans"), tmp_path)
    table = candidates_table(work, {"candidates": tried, "chosen": "forest"})
    assert table.splitlines() == [
        "| candidate | accuracy | dollars |",
        "| --- | ---: | ---: |",
        "| baseline | 0.5 | 43,391 |",
        "| **forest** | 0.75 |  |",
        "| broken |  |  |",
        "| private | 0.6 |  |",
        "",
        "| candidate | seconds | epsilon |",
        "| --- | ---: | ---: |",
        "| join | 2 |  |",
        "| private |  | 2.718 |",
    ]
