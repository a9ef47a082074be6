"""A registry with the toy project, its prediction log, and settings for monitors over it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from services.monitor.settings import Settings
from tests.services import monitored_project
from tests.services.fake_models import ModelRegistryFixture
from tests.webhook import Receiver

ROWS = 400
# Without retries, which would take minutes while the registry is unreachable.
FAIL_FAST = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_HTTP_REQUEST_TIMEOUT": "2"}


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver().listening() as receiver:
        yield receiver


@pytest.fixture
def fake_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModelRegistryFixture:
    """A registry without projects, whose home is also this process's home."""
    fake_models = ModelRegistryFixture(tmp_path / "registry")
    monkeypatch.setenv("SLIPWAY_HOME", str(fake_models.home))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", fake_models.uri)
    for name, value in FAIL_FAST.items():
        monkeypatch.setenv(name, value)
    return fake_models


def log_folder(fake_models: ModelRegistryFixture) -> Path:
    """Return the folder of the prediction log."""
    return fake_models.home / "predictions"


def settings(**changed: Any) -> Settings:
    """Return settings without maturity and reports."""
    return Settings(**{"maturity_seconds": 0, "window_rows": ROWS, "reports": 0, **changed})


def plant(fake_models: ModelRegistryFixture, segment: int, **changed: Any) -> list[str]:
    """Write traffic into a segment of its own, as many rows as the count window has."""
    options = {"segment": segment} | {
        name: changed.pop(name) for name in ("at", "seconds", "version") if name in changed
    }
    rows = changed.pop("rows", ROWS)
    return monitored_project.write_segment(
        log_folder(fake_models), monitored_project.traffic(rows, seed=segment, **changed), **options
    )


def drifted(check: Any, window: str = "count") -> list[str]:
    """Return the drifted fields of a check's window, which must be judged."""
    [result] = [each for each in check["windows"] if each["window"] == window]
    assert result["judged"], result
    return result["drifted"]


def older(record: dict[str, Any], rng: Any) -> float:
    """Return an age from a drifted distribution."""
    return rng.gauss(60, 12)
