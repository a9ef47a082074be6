"""The report on a change lists every metric that became worse."""

import hashlib
import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from infra.delivery.comparison import ProjectComparison
from infra.delivery.outcome import ProjectOutcome, UnreadableResults, at, in_tree
from infra.delivery.report import report
from slipway.contract.gate import Gate
from tests.conftest import PROJECTS
from tests.slipway.checkout import KEPT, git

# The change of these files runs the tests; see tests/by_change.py.
CONCERNS = ("infra/delivery/*", "slipway/contract/gate.py")

TITANIC = "pipelines/ml/titanic"
BEFORE = ProjectOutcome(
    metrics={"accuracy": 0.8, "log_loss": 0.5, "f1": 0.7},
    gate=Gate.parse({"accuracy": ">= 0.75", "log_loss": "<= 0.6"}),
    primary="accuracy",
    baseline=0.6,
    rows=179,
    data="d1",
    weights="w1",
)


def now(**metrics: float) -> ProjectOutcome:
    return replace(BEFORE, metrics=BEFORE.metrics | metrics, weights="w2")


def worse(comparison: ProjectComparison) -> list[str]:
    return [each.metric for each in comparison.worse]


def test_each_metric_becomes_worse_in_the_direction_of_its_gate() -> None:
    assert worse(ProjectComparison(BEFORE, now(accuracy=0.79))) == ["accuracy"]
    assert worse(ProjectComparison(BEFORE, now(log_loss=0.51))) == ["log_loss"]
    assert worse(ProjectComparison(BEFORE, now(accuracy=0.81, log_loss=0.49))) == []
    # A better metric does not compensate for a worse one.
    assert worse(ProjectComparison(BEFORE, now(accuracy=0.9, log_loss=0.51))) == ["log_loss"]
    assert worse(ProjectComparison(BEFORE, now(accuracy=math.nan))) == ["accuracy"]


def test_a_metric_that_is_gone_or_left_the_gate_still_counts() -> None:
    gone = replace(BEFORE, metrics={"accuracy": 0.8, "log_loss": 0.5})
    assert worse(ProjectComparison(BEFORE, gone)) == ["f1"]
    narrower = replace(now(log_loss=0.9), gate=Gate.parse({"accuracy": ">= 0.75"}))
    compared = ProjectComparison(BEFORE, narrower)
    assert worse(compared) == ["log_loss"]
    assert list(compared.loosened()) == ["the gate no longer requires log_loss <= 0.6"]


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ({"accuracy": ">= 0.7", "log_loss": "<= 0.6"}, ["accuracy >= 0.7"]),
        ({"accuracy": ">= 0.8", "log_loss": "<= 0.7"}, ["log_loss <= 0.7"]),
        ({"accuracy": ">= 0.8", "log_loss": "<= 0.5"}, []),
        ({"accuracy": "<= 0.9", "log_loss": "<= 0.6"}, ["accuracy <= 0.9"]),
    ],
)
def test_a_relaxed_gate_is_reported(conditions: dict[str, str], expected: list[str]) -> None:
    sentences = list(
        ProjectComparison(BEFORE, replace(BEFORE, gate=Gate.parse(conditions))).loosened()
    )
    assert len(sentences) == len(expected)
    for sentence, wanted in zip(sentences, expected, strict=True):
        assert sentence.endswith(f"now requires {wanted}")


def test_another_primary_metric_is_reported() -> None:
    other = ProjectComparison(BEFORE, replace(BEFORE, primary="log_loss"))
    assert list(other.loosened()) == ["the primary metric was accuracy and is now log_loss"]


@pytest.mark.parametrize(
    ("after", "verdict", "why"),
    [
        (now(accuracy=0.81), True, "not worse: accuracy 0.81 against 0.8 before"),
        (now(), True, "not worse"),
        (now(accuracy=0.79), False, "worse: accuracy 0.79 against 0.8 before"),
        (now(log_loss=0.61), False, "gate not met: log_loss <= 0.6, got 0.61"),
        (replace(now(accuracy=0.79), data="d2"), None, "the test rows differ"),
        (replace(now(accuracy=0.1), data="d2"), False, "gate not met: accuracy >= 0.75"),
    ],
)
def test_promotion_is_predicted_by_the_rule_of_registration(
    after: ProjectOutcome, verdict: bool | None, why: str
) -> None:
    promoted, reason = ProjectComparison(BEFORE, after).promotion()
    assert promoted is verdict
    assert why in reason


def test_what_is_new_is_held_to_its_gate() -> None:
    assert ProjectComparison(None, BEFORE).promotion() == (
        True,
        "gate met, nothing to compare with",
    )
    assert ProjectComparison(None, now(accuracy=0.1)).promotion()[0] is False
    assert ProjectComparison(None, BEFORE).worse == []


def trained(root: Path, **metrics: float | None) -> None:
    """Write results as if Titanic had been trained with another seed, with a matching lock."""
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
    written = report(root, "main")
    assert written.faults() == []
    assert "| project |" not in written.text()
    assert "Unchanged: " in written.text()
    assert all(name in written.text() for name in KEPT)


def test_a_worse_metric_stands_at_the_top_and_in_bold(root: Path) -> None:
    before = at(in_tree(root), TITANIC)
    assert before is not None
    trained(root, accuracy=0.79, recall=None)
    written = report(root, "main", link="https://host/blob/abc/")
    text = written.text()
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
    assert "titanic" not in text[text.index("Unchanged: ") :]
    assert written.untrained == {}
    assert written.faults()
    assert written.faults()[0].startswith("titanic: worse: accuracy 0.79")


def test_a_better_one_has_nothing_against_it(root: Path) -> None:
    trained(root, accuracy=0.9)
    (root / TITANIC / "work" / "volatile").mkdir(parents=True)
    timing = root / TITANIC / "work" / "volatile" / "timing.json"
    timing.write_text('{"fit_seconds": 12.34}')
    written = report(root, "main")
    text = written.text()
    timing.unlink()
    assert written.faults() == []
    assert "Worse" not in text
    row = next(line for line in text.splitlines() if line.startswith("| titanic |"))
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    before = json.loads(git(root, "show", f"main:{TITANIC}/metrics.json"))["metrics"]["accuracy"]
    assert cells[2:5] == ["0.9", f"{before:.6g}", f"{0.9 - before:+.6f}"]
    assert cells[5] == ">= 0.78"
    assert cells[7] == "179"
    assert cells[9:] == ["12.3 s", "yes"]


def test_an_untrained_change_is_reported(root: Path) -> None:
    with (root / TITANIC / "train.py").open("a") as stream:
        stream.write("\n# another line\n")
    written = report(root, "main")
    assert written.faults() == [f"titanic was not trained with this change (`{TITANIC}/train.py`)"]
    assert written.faults()[0] in written.text()
    assert "titanic" not in written.text()[written.text().index("Unchanged: ") :]


def test_removed_results_are_reported(root: Path) -> None:
    (root / TITANIC / "metrics.json").unlink()
    assert "titanic has lost its results" in report(root, "main").text()


def test_a_removed_project_is_reported(root: Path) -> None:
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
    # The readable results are still reported.
    assert "**Worse than before:**" in strict.stdout
