"""A version is tried out on its own examples before it is served."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from services.predict import snapshot
from services.predict.backend import VersionFiles
from services.predict.model_process import try_out
from services.predict.packages import check_packages
from services.predict.registry_sync import RegistrySync
from services.predict.settings import Settings
from services.predict.shipped_examples import ExamplesDiffer, check_examples
from slipway.contract import Lookup, Model, groups, shared_code
from slipway.contract.groups import ServingGroup, ServingGroupMissing
from slipway.contract.shipped import Shipped
from slipway.policy.changes import change_policy
from slipway.registry import registered
from tests.small_models import SmallModels


@pytest.fixture(scope="module")
def registry(own_home: Path, tmp_path_factory: pytest.TempPathFactory) -> SmallModels:
    """A model that streams and counts as slow, and one with two graphs and a sibling module."""
    return SmallModels(tmp_path_factory.mktemp("registry"), ["readings", "words"])


@pytest.fixture
def active(registry: SmallModels) -> Iterator[SmallModels]:
    with registry.active():
        yield registry


@pytest.fixture
def readings(active: SmallModels, tmp_path: Path) -> VersionFiles:
    return VersionFiles("readings", "1", registered.fetch("readings", None, tmp_path)[1].folder)


@pytest.fixture
def words(active: SmallModels, tmp_path: Path) -> VersionFiles:
    return VersionFiles("words", "1", registered.fetch("words", None, tmp_path)[1].folder)


def change_json(file: Path, change: Any) -> None:
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


def test_an_unchanged_version_passes(readings: VersionFiles) -> None:
    profile = try_out(readings, 64)
    assert (profile.streams, profile.chunk_name, profile.media) == (False, None, False)
    assert profile.code == shared_code.fingerprint(readings.shipped.about) != ""
    assert profile.batch_seconds != profile.one_seconds


def test_a_slow_model_makes_one_call(words: VersionFiles) -> None:
    profile = try_out(words, 64)
    assert (profile.latency_seconds, profile.threads) == (2.0, 1)
    assert profile.batch_seconds == profile.one_seconds
    # An example that would fail is not even read.
    change_json(words.shipped.about / "examples.json", lambda all: all[1].update(input={"no": 1}))
    try_out(words, 64)


def test_the_profile_describes_the_chunks_of_a_stream(words: VersionFiles) -> None:
    profile = try_out(words, 64)
    assert (profile.streams, profile.chunk_name) == (True, "Letter")
    assert profile.chunk_schema is not None
    assert set(profile.chunk_schema["properties"]) == {"letter", "probability"}
    assert (profile.input_name, profile.output_name) == ("Beginning", "Word")


def test_another_prediction_than_the_shipped_one_is_refused(readings: VersionFiles) -> None:
    about = readings.shipped.about
    change_json(about / "examples.json", lambda all: all[1]["output"].update(distance=0.5))
    with pytest.raises(
        ExamplesDiffer, match=r"example 2: distance is 0\.\d+, registered with 0\.5"
    ):
        try_out(readings, 64)


def test_another_label_than_the_shipped_one_is_refused(readings: VersionFiles) -> None:
    about = readings.shipped.about
    change_json(about / "examples.json", lambda all: all[0]["output"].update(unusual="maybe"))
    with pytest.raises(ExamplesDiffer, match=r"example 1: unusual is .*, registered with 'maybe'"):
        try_out(readings, 64)


def test_the_refusal_names_the_shared_code_that_changed(readings: VersionFiles) -> None:
    about = readings.shipped.about
    change_json(about / "examples.json", lambda all: all[0]["output"].update(distance=9.0))
    change_json(about / "code.json", lambda all: all.update({"slipway/contract/record.py": "old"}))
    with pytest.raises(ExamplesDiffer, match=r"; changed since: slipway/contract/record\.py$"):
        try_out(readings, 64)


def test_versions_of_earlier_releases_are_not_compared(readings: VersionFiles) -> None:
    about = readings.shipped.about
    change_json(about / "examples.json", lambda all: all[1]["output"].update(distance=0.5))
    for name in ("code.json", "serving.json"):
        (about / name).unlink()
    assert try_out(readings, 64).code == ""


@pytest.mark.parametrize(
    ("kind", "shipped", "predicted", "passes"),
    [
        ("values", {"a": 0.1234}, {"a": 0.12344}, True),
        ("values", {"a": 0.1234}, {"a": 0.1237}, False),
        ("values", {"a": 3e-06}, {"a": 3.4e-06}, True),
        ("values", {"a": [1.0, 2.0]}, {"a": [1.0]}, False),
        ("values", {"a": None}, {"a": 1.0}, False),
        ("tokens", {"text": "the cat sat"}, {"text": "the cat ran"}, True),
        ("tokens", {"text": "the cat sat"}, {"text": "a dog"}, False),
        ("boxes", {"boxes": []}, {"boxes": [{"x1": 0.0, "y1": 0.0, "x2": 1.0, "y2": 1.0}]}, False),
    ],
)
def test_the_tolerance_follows_the_kind_of_parity(
    tmp_path: Path, kind: str, shipped: Any, predicted: Any, passes: bool
) -> None:
    version = Shipped(tmp_path)
    version.about.mkdir(parents=True)
    (version.about / "code.json").write_text("{}")
    (version.about / "serving.json").write_text(json.dumps({"parity": kind}))
    (version.about / "metrics.json").write_text('{"metrics": {"parity_error": 1e-06}}')
    (version.about / "examples.json").write_text(json.dumps([{"input": {}, "output": shipped}]))
    if passes:
        check_examples(version, [predicted])
    else:
        with pytest.raises(ExamplesDiffer, match="example 1: "):
            check_examples(version, [predicted])


def test_a_version_needs_the_groups_that_it_requires(
    readings: VersionFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    change_json(
        readings.shipped.about / "serving.json", lambda all: all.update(requires=["vision"])
    )
    assert try_out(readings, 64).requires == ["vision"]
    lacking = ServingGroup({"opencv-python-headless": "cv2_that_is_not_installed"})
    monkeypatch.setattr(groups, "serving_group", lambda name: lacking)
    # Before its code runs, which could not be imported.
    (readings.shipped.code).write_text("import cv2_that_is_not_installed\n")
    with pytest.raises(
        ServingGroupMissing,
        match=r"^needs the serving group vision \(opencv-python-headless\); "
        "the image serving-media has it$",
    ):
        try_out(readings, 64)


def test_a_version_that_looks_up_features_needs_their_group(
    readings: VersionFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    lookup = Lookup(entity="customer_id", service="repurchase")
    monkeypatch.setattr(Model, "looked_up", lookup)
    profile = try_out(readings, 64)
    assert (profile.requires, profile.looked_up) == ([], lookup)
    lacking = ServingGroup({"feast": "feast_that_is_not_installed"})
    monkeypatch.setattr(groups, "serving_group", lambda name: lacking)
    message = r"^needs the serving group features \(feast\); the image serving-features has it$"
    with pytest.raises(ServingGroupMissing, match=message):
        try_out(readings, 64)


def test_a_group_of_a_later_release_is_in_no_image_of_this_one() -> None:
    with pytest.raises(ServingGroupMissing, match=r"^needs the serving group smell \(.*\)$"):
        check_packages(["smell"])


@pytest.fixture
def settings(active: SmallModels, monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name, value in active.variables().items():
        monkeypatch.setenv(name, value)
    return Settings.from_environment()


def test_a_server_tries_a_version_again_when_its_shared_code_changed(settings: Settings) -> None:
    RegistrySync(settings).sync()
    first = snapshot.read(settings.folder)
    assert first.projects.keys() >= {"readings", "words"}
    assert not first.faults.keys() & {"readings", "words"}
    assert first.projects["words"].policy.timeout_seconds == 10
    version = first.projects["readings"].versions["champion"]
    other = version.model_copy(
        update={"profile": version.profile.model_copy(update={"code": "other", "load_seconds": -1})}
    )
    entry = first.projects["readings"].model_copy(update={"versions": {"champion": other}})
    snapshot.write(
        settings.folder,
        first.model_copy(update={"projects": {**first.projects, "readings": entry}}),
    )
    (version.folder / "profile.json").unlink()
    RegistrySync(settings).sync()
    again = snapshot.read(settings.folder).projects["readings"].versions["champion"].profile
    assert again.code == version.profile.code
    assert again.load_seconds > 0


def test_a_missing_group_is_the_fault_that_the_server_reports(
    settings: Settings,
    readings: VersionFiles,
    active: SmallModels,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    serving = readings.shipped.about / "serving.json"
    change_json(serving, lambda all: all.update(requires=["vision"]))
    active.register("needy", readings.shipped)
    lacking = ServingGroup({"opencv-python-headless": "cv2_that_is_not_installed"})
    with monkeypatch.context() as patch:
        patch.setattr(groups, "serving_group", lambda name: lacking)
        RegistrySync(settings).sync()
        found = snapshot.read(settings.folder)
        fault = "champion v1: needs the serving group vision (opencv-python-headless); "
        assert found.faults["needy"] == fault + "the image serving-media has it"
        assert "needy" not in found.projects
    RegistrySync(settings).sync()
    assert "needy" in snapshot.read(settings.folder).projects


def test_the_default_time_limit_follows_the_longest_call(
    settings: Settings, readings: VersionFiles, active: SmallModels
) -> None:
    serving = readings.shipped.about / "serving.json"
    change_json(serving, lambda all: all.update(latency_seconds=20.0))
    active.register("patient", readings.shipped)

    def limit() -> float:
        RegistrySync(settings).sync()
        entry = snapshot.read(settings.folder).projects["patient"]
        return entry.policy.timeout_seconds

    assert limit() == 40
    change_policy("patient", {"queue": 7}, actor="test")
    assert limit() == 40
    change_policy("patient", {"timeout_seconds": 10}, actor="test")
    change_policy("patient", {"queue": 8}, actor="test")
    assert limit() == 10
