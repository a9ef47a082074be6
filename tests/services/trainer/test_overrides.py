"""Parameters of a run that replace the project's own."""

import math

import pytest
from pydantic import ValidationError

from services.trainer.commands import BadAssignment, parse_assignments
from services.trainer.overrides import BadParameters, Overrides
from slipway.project import find


def test_overrides_are_checked_against_the_projects_parameters() -> None:
    params = find("titanic").params
    good = Overrides(prepare={"test_share": 0.3, "seed": 1}, fit={"folds": 3})
    good.check(params)
    with pytest.raises(BadParameters) as caught:
        Overrides(prepare={"test_share": "much"}, fit={"folds": 2.5, "depth": 3}).check(params)
    assert caught.value.faults == {
        "prepare.test_share": "must be a number like 0.2, got 'much'",
        "fit.folds": "must be a whole number like 5, got 2.5",
        "fit.depth": "no such parameter; fit has folds, repeats, seed",
    }
    for bad in ({"gate": {}}, {"fit": [1]}, {"fit": {"folds": math.nan}}):
        with pytest.raises(ValidationError):
            Overrides.model_validate(bad)


def test_nested_parameters_are_merged_and_checked() -> None:
    own = find("titanic").params.model_copy(
        update={"fit": {"tree": {"depth": 3, "leaves": [1, 2]}, "name": None}}
    )
    Overrides(fit={"tree": {"depth": 4}, "name": "x"}).check(own)
    with pytest.raises(BadParameters, match="fit.tree.height: no such parameter"):
        Overrides(fit={"tree": {"height": 4}}).check(own)
    with pytest.raises(BadParameters, match="fit.tree: must be an object"):
        Overrides(fit={"tree": 4}).check(own)
    merged = Overrides(fit={"tree": {"depth": 4}}).merged({"dataset": "x", "fit": own.fit})
    assert merged == {
        "dataset": "x",
        "prepare": {},
        "fit": {"tree": {"depth": 4, "leaves": [1, 2]}, "name": None},
    }
    assert not Overrides()
    assert Overrides(fit={"a": 1})


def test_assignments_on_the_command_line() -> None:
    assert parse_assignments(["fit.folds=3", "fit.tree.depth=2.5", "prepare.name=x=y"]) == {
        "fit": {"folds": 3, "tree": {"depth": 2.5}},
        "prepare": {"name": "x=y"},
    }
    for bad in ("folds=3", "fit.folds", ".x=3", "fit.=3"):
        with pytest.raises(BadAssignment, match="must be like fit.folds=3"):
            parse_assignments([bad])
