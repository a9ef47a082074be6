"""The gate, the promotion rule and its log."""

import json
import math
from pathlib import Path

import pytest

from slipway.contract import Model, Record
from slipway.contract.gate import Condition, Gate, GateNotMet
from slipway.project import find
from slipway.registry import promotions
from slipway.registry.promotion import judge
from slipway.registry.register import lineage, promotes_by_rule
from slipway.training.labelled_rows import LabelledRows
from slipway.training.workspace import Workspace


class Sent(Record):
    value: int


class FeedbackRecord(Record):
    value: int


class Adds(Model):
    def __init__(self, more: int) -> None:
        self.more = more

    def predict(self, model_input: list[Sent]) -> list[FeedbackRecord]:
        return [FeedbackRecord(value=each.value + self.more) for each in model_input]


class Breaks(Adds):
    def predict(self, model_input: list[Sent]) -> list[FeedbackRecord]:
        raise RuntimeError("no")


TEST = LabelledRows([Sent(value=1), Sent(value=2)], [2, 3])
UP, DOWN = Condition("accuracy", ">=", 0.5), Condition("error", "<=", 2)


def score(*, predictions: list[FeedbackRecord], labels: list[int]) -> dict[str, float]:
    gaps = [
        abs(predicted.value - label) for predicted, label in zip(predictions, labels, strict=True)
    ]
    return {"accuracy": sum(gap == 0 for gap in gaps) / 2, "error": sum(gaps) / 2}


def verdict(primary: Condition, candidate: float, champion: Model | None):  # type: ignore[no-untyped-def]
    return judge(
        primary=primary,
        candidate_score=candidate,
        champion=champion,
        champion_version="3",
        test=TEST,
        score=score,
    )


def test_the_first_candidate_is_promoted() -> None:
    assert verdict(UP, 0.6, None).promote


@pytest.mark.parametrize(
    ("primary", "candidate", "champion", "promote"),
    [
        (UP, 1.0, Adds(1), True),
        (UP, 0.99, Adds(1), False),
        (UP, 0.1, Adds(5), True),
        (DOWN, 0.0, Adds(1), True),
        (DOWN, 0.1, Adds(1), False),
        (DOWN, 3.9, Adds(5), True),
        (UP, math.nan, Adds(1), False),
    ],
)
def test_not_worse_on_the_same_rows(
    primary: Condition, candidate: float, champion: Model, promote: bool
) -> None:
    decided = verdict(primary, candidate, champion)
    assert decided.promote is promote
    assert "v3 on the same 2 rows" in decided.reason


def test_a_champion_that_cannot_predict_is_replaced() -> None:
    decided = verdict(UP, 0.6, Breaks(0))
    assert decided.promote
    assert "cannot answer" in decided.reason


def test_the_gate_lists_every_failed_condition() -> None:
    gate = Gate.parse({"accuracy": ">= 0.78", "error": "<=0.1", "f1": ">= 0.5"})
    gate.check({"accuracy": 0.78, "error": 0.1, "f1": 0.9})
    with pytest.raises(GateNotMet) as caught:
        gate.check({"accuracy": 0.71, "error": math.nan})
    assert str(caught.value) == (
        "gate not met: accuracy >= 0.78, got 0.71; error <= 0.1, got nan; f1 >= 0.5, "
        "got no such metric"
    )


@pytest.mark.parametrize("text", ["0.78", "> 0.78", ">= high", "", ">= 1e"])
def test_malformed_gates_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="accuracy|could not convert"):
        Gate.parse({"accuracy": text})


def test_every_model_passes_an_opened_gate() -> None:
    Gate.parse({"accuracy": ">= 0.78", "error": "<= 1"}).opened().check(
        {"accuracy": -9.0, "error": 9e9}
    )


@pytest.fixture
def own_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SLIPWAY_HOME", str(tmp_path))
    for version in ("1", "2", "3"):
        promotions.append(
            promotions.Decision("iris", version, version != "2", "because", {"score": 0.5})
        )
    return promotions.log_file()


def test_the_log_keeps_every_decision(own_log: Path) -> None:
    entries = promotions.history("iris")
    assert [(each["version"], each["promoted"]) for each in entries] == [
        ("1", True),
        ("2", False),
        ("3", True),
    ]
    assert promotions.history("titanic") == []


@pytest.mark.parametrize("line", [0, 1])
def test_a_changed_line_is_found(own_log: Path, line: int) -> None:
    lines = own_log.read_text().splitlines()
    entry = json.loads(lines[line])
    entry["reason"] = "otherwise"
    lines[line] = json.dumps(entry, sort_keys=True)
    own_log.write_text("\n".join(lines) + "\n")
    with pytest.raises(promotions.PromotionLogBroken, match=f"line {line + 2} does not follow"):
        promotions.history()


def test_a_removed_line_is_found(own_log: Path) -> None:
    lines = own_log.read_text().splitlines()
    own_log.write_text("\n".join([lines[0], lines[2]]) + "\n")
    with pytest.raises(promotions.PromotionLogBroken):
        promotions.history()


def test_a_rollout_may_promote_instead_of_the_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLIPWAY_PROMOTE", raising=False)
    assert promotes_by_rule()
    monkeypatch.setenv("SLIPWAY_PROMOTE", "never")
    assert not promotes_by_rule()
    monkeypatch.setenv("SLIPWAY_PROMOTE", "no")
    with pytest.raises(ValueError, match="must be rule or never, got 'no'"):
        promotes_by_rule()


@pytest.mark.parametrize("damaged", ["x", "[]", '{"rows": 7}', '{"Rows": "7"}'])
def test_additions_to_the_lineage_must_be_strings(
    damaged: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = Workspace.for_project(find("titanic"))
    monkeypatch.setenv("SLIPWAY_LINEAGE", '{"feedback_rows": "7", "dataset": "another"}')
    tags = lineage(work)
    assert tags["feedback_rows"] == "7"
    assert tags["dataset"] == "titanic"
    monkeypatch.setenv("SLIPWAY_LINEAGE", damaged)
    with pytest.raises(ValueError, match="SLIPWAY_LINEAGE must be a JSON object of strings"):
        lineage(work)
