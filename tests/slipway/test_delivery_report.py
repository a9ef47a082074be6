"""What the report of a change says, and that it hides nothing that became worse."""

import hashlib
import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from slipway.delivery.comparison import Comparison
from slipway.delivery.outcome import Outcome, UnreadableResults, at, in_tree
from slipway.delivery.report import report
from slipway.registry.gate import Gate
from tests.conftest import PROJECTS
from tests.slipway.checkout import KEPT, git

TITANIC = "pipelines/ml/titanic"
BEFORE = Outcome(
    metrics={"accuracy": 0.8, "log_loss": 0.5, "f1": 0.7},
    gate=Gate.parse({"accuracy": ">= 0.75", "log_loss": "<= 0.6"}),
    primary="accuracy",
    baseline=0.6,
    rows=179,
    data="d1",
    weights="w1",
)


def now(**metrics: float) -> Outcome:
    return replace(BEFORE, metrics=BEFORE.metrics | metrics, weights="w2")


def worse(comparison: Comparison) -> list[str]:
    return [each.metric for each in comparison.worse]


def test_each_metric_becomes_worse_in_the_direction_of_its_gate() -> None:
    assert worse(Comparison(BEFORE, now(accuracy=0.79))) == ["accuracy"]
    assert worse(Comparison(BEFORE, now(log_loss=0.51))) == ["log_loss"]
    assert worse(Comparison(BEFORE, now(accuracy=0.81, log_loss=0.49))) == []
    # One that is better does not make up for one that is worse.
    assert worse(Comparison(BEFORE, now(accuracy=0.9, log_loss=0.51))) == ["log_loss"]
    assert worse(Comparison(BEFORE, now(accuracy=math.nan))) == ["accuracy"]


def test_a_metric_that_is_gone_or_left_the_gate_still_counts() -> None:
    gone = replace(BEFORE, metrics={"accuracy": 0.8, "log_loss": 0.5})
    assert worse(Comparison(BEFORE, gone)) == ["f1"]
    narrower = replace(now(log_loss=0.9), gate=Gate.parse({"accuracy": ">= 0.75"}))
    compared = Comparison(BEFORE, narrower)
    assert worse(compared) == ["log_loss"]
    assert list(compared.loosened()) == ["the gate no longer asks for log_loss <= 0.6"]


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"accuracy": ">= 0.7", "log_loss": "<= 0.6"}, ["accuracy >= 0.7"]),
        ({"accuracy": ">= 0.8", "log_loss": "<= 0.7"}, ["log_loss <= 0.7"]),
        ({"accuracy": ">= 0.8", "log_loss": "<= 0.5"}, []),
        ({"accuracy": "<= 0.9", "log_loss": "<= 0.6"}, ["accuracy <= 0.9"]),
    ],
)
def test_a_gate_that_asks_for_less_is_told(asked: dict[str, str], told: list[str]) -> None:
    sentences = list(Comparison(BEFORE, replace(BEFORE, gate=Gate.parse(asked))).loosened())
    assert len(sentences) == len(told)
    for sentence, wanted in zip(sentences, told, strict=True):
        assert sentence.endswith(f"now asks for {wanted}")


def test_another_primary_metric_is_told() -> None:
    other = Comparison(BEFORE, replace(BEFORE, primary="log_loss"))
    assert list(other.loosened()) == ["it was compared by accuracy and is now by log_loss"]


@pytest.mark.parametrize(
    ("after", "verdict", "why"),
    [
        (now(accuracy=0.81), True, "not worse: accuracy 0.81 against 0.8 before"),
        (now(), True, "not worse"),
        (now(accuracy=0.79), False, "worse: accuracy 0.79 against 0.8 before"),
        (now(log_loss=0.61), False, "gate not met: log_loss <= 0.6, got 0.61"),
        (replace(now(accuracy=0.79), data="d2"), None, "the test rows are others"),
        (replace(now(accuracy=0.1), data="d2"), False, "gate not met: accuracy >= 0.75"),
    ],
)
def test_promotion_is_foretold_by_the_rule_of_registration(
    after: Outcome, verdict: bool | None, why: str
) -> None:
    told, reason = Comparison(BEFORE, after).promotion()
    assert told is verdict
    assert why in reason


def test_what_is_new_is_held_to_its_gate() -> None:
    assert Comparison(None, BEFORE).promotion() == (True, "gate met, nothing to compare with")
    assert Comparison(None, now(accuracy=0.1)).promotion()[0] is False
    assert Comparison(None, BEFORE).worse == []


def trained(root: Path, **metrics: float | None) -> None:
    """As if Titanic had been trained with another seed: these metrics, and a lock that fits."""
    place = root / TITANIC
    params = yaml.safe_load((place / "params.yaml").read_text())
    params["prepare"] = {"seed": 12345}
    (place / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    found = json.loads((place / "metrics.json").read_text())
    for name, value in metrics.items():
        found["metrics"].pop(name, None)
        if value is not None:
            found["metrics"][name] = value
    text = json.dumps(found)
    (place / "metrics.json").write_text(text)
    lock = yaml.safe_load((place / "dvc.lock").read_text())
    lock["stages"]["prepare"]["params"]["params.yaml"]["prepare"] = {"seed": 12345}
    for stage in lock["stages"].values():
        for each in stage["deps"] + stage["outs"]:
            if each["path"] == "metrics.json":
                each |= {"md5": hashlib.md5(text.encode()).hexdigest(), "size": len(text)}
    (place / "dvc.lock").write_text(yaml.safe_dump(lock, sort_keys=False))


def test_the_committed_results_are_read_as_registration_reads_them() -> None:
    for project in PROJECTS:
        root = project.folder.parents[2]
        found = at(in_tree(root), project.folder.relative_to(root).as_posix())
        assert found is not None
        assert found.gate == project.params.gate
        assert found.primary == project.params.primary
        assert found.gate.shortfalls(found.metrics) == []
        assert found.data is not None
        assert found.weights is not None


def test_with_nothing_changed_the_report_is_short(root: Path) -> None:
    made = report(root, "main")
    assert made.faults() == []
    assert "| project |" not in made.text()
    assert "As before: " in made.text()
    assert all(name in made.text() for name in KEPT)


def test_a_worse_metric_stands_at_the_top_and_in_bold(root: Path) -> None:
    before = at(in_tree(root), TITANIC)
    assert before is not None
    trained(root, accuracy=0.79, recall=None)
    made = report(root, "main", link="https://host/blob/abc/")
    text = made.text()
    head = text[: text.index("| project |")]
    assert "**Worse than before:**" in head
    assert "recall is gone" in head
    assert f"accuracy 0.79, {before.metrics['accuracy']:.6g} before" in head
    assert "| titanic | accuracy | 0.79 |" in text
    assert "| accuracy (worse) | 0.79 |" in text
    assert "| **no** |" in text
    assert (
        "[candidates](https://host/blob/abc/pipelines/ml/titanic/pictures/candidates.png)" in text
    )
    assert "params.yaml prepare" in text
    assert "titanic" not in text[text.index("As before: ") :]
    assert made.untrained == {}
    assert made.faults()
    assert made.faults()[0].startswith("titanic: worse: accuracy 0.79")


def test_a_better_one_has_nothing_against_it(root: Path) -> None:
    trained(root, accuracy=0.9)
    (root / TITANIC / "work" / "volatile").mkdir(parents=True)
    timing = root / TITANIC / "work" / "volatile" / "timing.json"
    timing.write_text('{"fit_seconds": 12.34}')
    made = report(root, "main")
    text = made.text()
    timing.unlink()
    assert made.faults() == []
    assert "Worse" not in text
    row = next(line for line in text.splitlines() if line.startswith("| titanic |"))
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    before = json.loads(git(root, "show", f"main:{TITANIC}/metrics.json"))["metrics"]["accuracy"]
    assert cells[2:5] == ["0.9", f"{before:.6g}", f"{0.9 - before:+.6f}"]
    assert cells[5] == ">= 0.78"
    assert cells[7] == "179"
    assert cells[9:] == ["12.3 s", "yes"]


def test_what_was_not_trained_with_the_change_is_told(root: Path) -> None:
    with (root / TITANIC / "train.py").open("a") as stream:
        stream.write("\n# another line\n")
    made = report(root, "main")
    assert made.faults() == [f"titanic was not trained with this change (`{TITANIC}/train.py`)"]
    assert made.faults()[0] in made.text()
    assert "titanic" not in made.text()[made.text().index("As before: ") :]


def test_results_taken_away_are_told(root: Path) -> None:
    (root / TITANIC / "metrics.json").unlink()
    assert "titanic has lost its results" in report(root, "main").text()


def test_a_project_taken_away_is_told(root: Path) -> None:
    git(root, "rm", "-r", "--quiet", TITANIC)
    assert "**Removed:** titanic" in report(root, "main").text()


def test_results_that_no_run_wrote_are_refused(root: Path) -> None:
    (root / TITANIC / "metrics.json").write_text("{}")
    with pytest.raises(UnreadableResults, match="pipelines/ml/titanic"):
        report(root, "main").text()


def test_the_command_writes_the_file_and_fails_if_strict(root: Path, tmp_path: Path) -> None:
    trained(root, accuracy=0.5)
    file = tmp_path / "report.md"

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "slipway", "report", "--since", "main", *words]
        return subprocess.run(command, cwd=root, capture_output=True, text=True)

    assert run("--file", str(file)).returncode == 0
    assert "gate not met: accuracy >= 0.78, got 0.5" in file.read_text()
    strict = run("--strict")
    assert strict.returncode == 1
    assert "gate not met: accuracy >= 0.78, got 0.5" in strict.stderr
    # What could be read is said all the same.
    assert "**Worse than before:**" in strict.stdout
