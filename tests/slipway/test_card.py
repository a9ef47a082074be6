"""The tables of a model card and of a project's README."""

from pathlib import Path

from slipway.project import find
from slipway.registry.card import candidates_table
from slipway.training.workspace import Workspace


def test_what_was_asked_something_else_stands_in_a_table_of_its_own(tmp_path: Path) -> None:
    tried = {
        "baseline": {"accuracy": 0.5, "f1": 0.4},
        "forest": {"accuracy": 0.75},
        "join": {"seconds": 2.0},
        "broken": {},
        "join_salted": {"seconds": 1.0, "tasks": 3.0},
    }
    told = candidates_table(
        Workspace.tiny(find("titanic"), tmp_path), {"candidates": tried, "chosen": "forest"}
    )
    assert told.splitlines() == [
        "| candidate | accuracy | f1 |",
        "| --- | ---: | ---: |",
        "| baseline | 0.5 | 0.4 |",
        "| **forest** | 0.75 |  |",
        "| broken |  |  |",
        "",
        "| candidate | seconds |",
        "| --- | ---: |",
        "| join | 2 |",
        "| join_salted | 1 |",
    ]
