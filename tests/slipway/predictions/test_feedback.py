"""Feedback: ground truth attached to a prediction, also late, twice, or with an unknown id."""

import json
import math
import statistics
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slipway.predictions import ids
from slipway.predictions.compact import compact
from slipway.predictions.feedback_store import (
    Attached,
    BadLabel,
    FeedbackStore,
    MalformedId,
    NotLogged,
    UnknownPrediction,
    labels_came,
)
from slipway.predictions.record import line
from slipway.predictions.writer import PredictionLog

SURVIVAL = [{"survived": True, "probability": 0.75}]


def logged(
    folder: Path,
    outputs: list[Any],
    *,
    version: str = "3",
    variant: str = "champion",
    times: int = 1,
) -> list[str]:
    log = PredictionLog(folder, segment_bytes=2**20)
    logged_ids = []
    for _ in range(times):
        id = log.next_id()
        text = line(
            id=id,
            project="titanic",
            version=version,
            digest="ab" * 32,
            variant=variant,
            inputs=b'{"name":"Cumings"}',
            outputs=json.dumps(outputs).encode(),
            seconds=0.0002,
        )
        assert log.append(text)
        logged_ids.append(id)
    log.close()
    return logged_ids


def test_a_prediction_known_by_facts_alone_has_no_score(tmp_path: Path) -> None:
    """A mask in PNG, and so many boxes that only the first are on record."""
    box = {"x1": 0.0, "y1": 0.0, "x2": 9.0, "y2": 9.0, "label": "cell", "score": 1.0}
    mask = {"sha256": "ab" * 32, "bytes": 900, "media_type": "image/png"}
    [id] = logged(tmp_path, [{"mask": mask, "boxes": {"count": 300, "first": [box] * 200}}])
    store = FeedbackStore(tmp_path)
    label = {"mask": "iVBORw0KGgo=", "boxes": [box]}
    attached = store.attach(id=id, label=label)
    assert (attached.status, attached.score) == ("recorded", None)
    assert store.history(id=id)[0].label == label


def test_feedback_is_recorded_repeated_and_replaced(tmp_path: Path) -> None:
    [id] = logged(tmp_path, SURVIVAL)
    store = FeedbackStore(tmp_path)
    about = {"project": "titanic", "version": "3", "variant": "champion"}
    wrong, right = {"survived": False}, {"survived": True}
    assert store.attach(id=id, label=wrong) == Attached(
        "recorded", **about, score=0.0, revision=1, previous=None
    )
    assert store.attach(id=id, label=wrong) == Attached(
        "unchanged", **about, score=0.0, revision=1, previous=wrong
    )
    assert store.attach(id=id.upper(), label=right) == Attached(
        "replaced", **about, score=1.0, revision=2, previous=wrong
    )
    # A new store, as in another process, reads all of it from disk.
    again = FeedbackStore(tmp_path)
    revisions = again.history(id=id)
    assert [(each.revision, each.label, each.score) for each in revisions] == [
        (1, wrong, 0.0),
        (2, right, 1.0),
    ]
    assert time.time() - 60 < revisions[0].received <= revisions[1].received <= time.time()
    [only] = again.summary("titanic")
    assert (only.version, only.variant, only.n, only.mean) == ("3", "champion", 1, 1.0)
    assert only.variance is None


@pytest.mark.parametrize(
    ("prediction", "label", "score"),
    [
        ({"probability": 0.75}, {"probability": 1}, -0.25),
        ({"survived": True, "probability": 0.75}, {"survived": True, "probability": 0.25}, 0.25),
        ({"label": "ham"}, {"label": "ham"}, 1.0),
        ({"label": "ham"}, {"label": "spam"}, 0.0),
        ({"label": None}, {"label": None}, 1.0),
        ({"label": None}, {"label": "spam"}, 0.0),
        ({"label": "ham"}, {"label": None}, 0.0),
        ({"digit": 7}, {"digit": 7}, 1.0),
        ({"digit": 7}, {"digit": 7.0}, 1.0),
        ({"digit": 7}, {"digit": 1}, 0.0),
        ({"price": None}, {"price": 2.5}, None),
        ({"boxes": [1, 2]}, {"boxes": [1, 2]}, None),
        ({"boxes": [1], "label": "cat"}, {"boxes": [2], "label": "cat"}, 1.0),
    ],
)
def test_each_kind_of_field_has_its_score(
    tmp_path: Path, prediction: dict[str, Any], label: dict[str, Any], score: float | None
) -> None:
    [id] = logged(tmp_path, [prediction])
    assert FeedbackStore(tmp_path).attach(id=id, label=label).score == score


def test_a_reward_is_the_score_also_without_a_label(tmp_path: Path) -> None:
    [id] = logged(tmp_path, SURVIVAL)
    store = FeedbackStore(tmp_path)
    assert store.attach(id=id, reward=12.5).score == 12.5
    assert store.attach(id=id, reward=12.5).status == "unchanged"
    both = store.attach(id=id, label={"survived": False}, reward=-1)
    assert (both.status, both.score) == ("replaced", -1.0)


@pytest.mark.parametrize(
    ("label", "row", "reward", "message"),
    [
        ({"alive": True}, 0, None, "label.alive: not a field .* has probability, survived"),
        ({"alive": True}, 0, 1.0, "label.alive: not a field"),
        ({"survived": "yes"}, 0, None, "label.survived: must be true or false .* got 'yes'"),
        ({"survived": 1}, 0, None, "label.survived: must be true or false"),
        ({"probability": True}, 0, None, "label.probability: must be a number"),
        ({"probability": None}, 0, None, "label.probability: .* leave it out"),
        ({"probability": math.nan}, 0, None, "label.probability: must be a finite number"),
        ({"probability": 10**400}, 0, None, "label.probability: must be a finite number"),
        ({}, 0, None, "must hold at least one field of the prediction .* or send a reward"),
        (None, 0, math.inf, "reward: must be a finite number"),
        ({"survived": True}, 1, None, "row: the prediction has one row: 0; got 1"),
        ({"survived": True}, -1, None, "row: .* got -1"),
    ],
)
def test_a_label_that_does_not_fit_is_rejected_and_not_stored(
    tmp_path: Path, label: dict[str, Any] | None, row: int, reward: float | None, message: str
) -> None:
    [id] = logged(tmp_path, SURVIVAL)
    store = FeedbackStore(tmp_path)
    with pytest.raises(BadLabel, match=message):
        store.attach(id=id, label=label, row=row, reward=reward)
    assert store.history(id=id, row=row) == []
    # The store still works.
    assert store.attach(id=id, label={"survived": True}).status == "recorded"


def test_each_row_of_a_batch_has_its_own_label(tmp_path: Path) -> None:
    [id] = logged(tmp_path, SURVIVAL * 3)
    store = FeedbackStore(tmp_path)
    results = [store.attach(id=id, label={"survived": row == 1}, row=row) for row in range(3)]
    assert [each.score for each in results] == [0.0, 1.0, 0.0]
    assert [each.status for each in results] == ["recorded"] * 3
    with pytest.raises(BadLabel, match="rows 0 to 2; got 3"):
        store.attach(id=id, label={"survived": True}, row=3)


def test_an_id_without_a_record_raises_the_reason(tmp_path: Path) -> None:
    store = FeedbackStore(tmp_path)
    label = {"survived": True}
    with pytest.raises(MalformedId, match="must be a UUID .* got 'titanic'"):
        store.attach(id="titanic", label=label)
    with pytest.raises(UnknownPrediction, match="no prediction"):
        store.attach(id=str(uuid.uuid4()), label=label)
    never = ids.compose(milliseconds=int(time.time() * 1000), count=0, segment=77, offset=0)
    with pytest.raises(UnknownPrediction, match=never):
        store.attach(id=never, label=label)
    down = ids.compose(milliseconds=int(time.time() * 1000), count=0, segment=0, offset=5)
    with pytest.raises(NotLogged, match="while the log was down"):
        store.attach(id=down, label=label)


def test_feedback_finds_compacted_predictions(tmp_path: Path) -> None:
    logged_ids = logged(tmp_path, SURVIVAL, times=50)
    store = FeedbackStore(tmp_path)
    assert store.attach(id=logged_ids[0], label={"survived": True}).status == "recorded"
    assert compact(tmp_path, seconds=0).records == 50
    assert store.attach(id=logged_ids[0], label={"survived": True}).status == "unchanged"
    for id in logged_ids[1:]:
        assert store.attach(id=id, label={"survived": False}).status == "recorded"
    assert store.summary("titanic")[0].n == 50


def test_feedback_for_a_prediction_that_is_still_in_an_open_segment(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path)
    id = log.next_id()
    assert log.append(
        line(
            id=id,
            project="titanic",
            version="1",
            digest="cd" * 32,
            variant="challenger",
            inputs=b"{}",
            outputs=json.dumps(SURVIVAL).encode(),
            seconds=0.1,
        )
    )
    result = FeedbackStore(tmp_path).attach(id=id, label={"survived": True})
    assert (result.variant, result.version, result.score) == ("challenger", "1", 1.0)
    log.close()


BOTH = """
import sys
from pathlib import Path
from slipway.predictions.feedback_store import FeedbackStore
sys.stdin.readline()
store = FeedbackStore(Path(sys.argv[1]))
for number, id in enumerate(sys.argv[3:]):
    store.attach(id=id, label={"probability": (number + float(sys.argv[2])) / 100})
"""


def test_two_processes_attach_at_once_and_no_revision_is_lost(tmp_path: Path) -> None:
    shared = logged(tmp_path, SURVIVAL, times=1) * 20
    own = logged(tmp_path, SURVIVAL, times=10)
    children = [
        subprocess.Popen(
            [sys.executable, "-c", BOTH, tmp_path, str(shift), *shared, *own],
            stdin=subprocess.PIPE,
            text=True,
        )
        for shift in (0.0, 0.5)
    ]
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    assert [child.wait(40) for child in children] == [0, 0]
    store = FeedbackStore(tmp_path)
    revisions = store.history(id=shared[0])
    assert [each.revision for each in revisions] == list(range(1, 41))
    expected = {(number + shift) / 100 for number in range(20) for shift in (0.0, 0.5)}
    assert {each.label["probability"] for each in revisions} == expected
    assert all(len(store.history(id=id)) == 2 for id in own)


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    scores=st.lists(
        st.tuples(st.sampled_from(["champion", "challenger"]), st.floats(-1e6, 1e6)),
        min_size=1,
        max_size=12,
    )
)
def test_the_summary_is_the_mean_and_variance_of_each_variant(
    tmp_path: Path, scores: list[tuple[str, float]]
) -> None:
    folder = tmp_path / uuid.uuid4().hex
    rows = SURVIVAL * len(scores)
    records = {
        variant: logged(folder, rows, version=version, variant=variant)[0]
        for variant, version in (("champion", "3"), ("challenger", "4"))
    }
    store = FeedbackStore(folder)
    for row, (variant, score) in enumerate(scores):
        store.attach(id=records[variant], reward=score, row=row)
    found = {each.variant: each for each in store.summary("titanic")}
    assert set(found) == {variant for variant, _ in scores}
    for variant, each in found.items():
        values = [score for name, score in scores if name == variant]
        assert each.version == {"champion": "3", "challenger": "4"}[variant]
        assert each.n == len(values)
        assert each.mean == pytest.approx(statistics.fmean(values), rel=1e-9, abs=1e-6)
        if len(values) > 1:
            expected = statistics.variance(values)
            assert each.variance == pytest.approx(expected, rel=1e-6, abs=1e-6)
        else:
            assert each.variance is None
    store.close()


def test_the_summary_counts_predictions_made_since_and_of_one_project(tmp_path: Path) -> None:
    early = logged(tmp_path, SURVIVAL, times=3)
    time.sleep(0.02)
    middle = time.time()
    late = logged(tmp_path, SURVIVAL, times=2)
    store = FeedbackStore(tmp_path)
    for id in early + late:
        store.attach(id=id, label={"survived": True})
    assert store.summary("titanic")[0].n == 5
    assert store.summary("titanic", since=middle)[0].n == 2
    assert store.summary("titanic", since=time.time()) == []
    assert store.summary("spam") == []


def test_labels_count_from_the_time_at_which_they_came(tmp_path: Path) -> None:
    def came(received: float = 0.0, predicted: float = 0.0, project: str = "titanic") -> bool:
        return labels_came(tmp_path, project, received_since=received, predicted_since=predicted)

    assert not came()
    assert not (tmp_path / "feedback.db").exists()
    one, other = logged(tmp_path, SURVIVAL, times=2)
    store = FeedbackStore(tmp_path)
    store.attach(id=one, reward=1.0)
    assert not came()
    before = time.time()
    store.attach(id=other, label={"survived": True})
    assert came(before - 1)
    assert not came(time.time() + 1)
    assert not came(predicted=time.time() + 1)
    assert not came(project="spam")


def test_feedback_is_not_lost_in_a_database_that_was_removed(tmp_path: Path) -> None:
    [id] = logged(tmp_path, SURVIVAL)
    store = FeedbackStore(tmp_path)
    store.attach(id=id, label={"survived": False})
    for file in tmp_path.glob("feedback*"):
        file.unlink()
    assert store.attach(id=id, label={"survived": True}).status == "recorded"
    [revision] = FeedbackStore(tmp_path).history(id=id)
    assert revision.label == {"survived": True}
