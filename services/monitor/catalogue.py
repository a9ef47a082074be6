"""Which version is champion of which project, and its reference: from the registry, kept here."""

import json
import logging
import re
import shutil
import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from services.monitor.settings import Settings
from slipway.files import replace_text
from slipway.monitoring.declared import Declared, declared
from slipway.monitoring.layout import Layout
from slipway.monitoring.performance import Score, Target, scores

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger("slipway.monitor")
CHAMPION = "champion"
FILE = "champions.json"
# Names become folders here.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
# A rollback goes back to one of these, also while the registry is away.
KEPT = 5


class Version(BaseModel):
    """A registered version, as much of it as is needed without the registry."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    version: str
    run_id: str
    tags: dict[str, str]


@dataclass(frozen=True)
class Reference:
    """What windows of a version are held against."""

    version: Version
    rows: list[dict[str, Any]]
    declared: Declared
    layout: Layout

    @cached_property
    def table(self) -> "pd.DataFrame":
        return self.layout.table(
            self.layout.values(row.get("record") or {}, row.get("answer") or {})
            for row in self.rows
        )

    @cached_property
    def target(self) -> Target | None:
        return Target.learn(self.rows)

    @cached_property
    def scores(self) -> list[Score]:
        return scores(self.target.pairs(self.rows), self.target) if self.target else []


class NoReference(LookupError):
    """Nothing is known that windows of the version could be held against."""


class Catalogue:
    """Asks the registry once a round; while it is away, what it said last holds."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.asked = False
        self.reachable = False
        self.fault = "not asked yet"
        self.champions: dict[str, Version] = _kept(settings.folder / FILE)
        self._references: dict[str, Reference] = {}

    def refresh(self) -> None:
        """Ask which versions are champions. An error is told by `reachable` and `fault`."""
        try:
            found = _registered(self.settings.projects)
        except Exception as error:
            self.asked, self.reachable, self.fault = True, False, _first_line(error)
            log.warning("the registry is away, the last known champions hold: %s", self.fault)
            return
        self.asked, self.reachable, self.fault = True, True, ""
        if found != self.champions:
            _write(self.settings.folder / FILE, found)
            self.champions = found
        self._references = {
            name: each
            for name, each in self._references.items()
            if self.champions.get(name) == each.version
        }

    def reference(self, name: str) -> Reference:
        """Of the project's champion; fetched once, then kept.

        Raises:
            NoReference: the version was registered without one, or it cannot be had.
        """
        version = self.champions[name]
        known = self._references.get(name)
        if known is None or known.version != version:
            known = self._fetched(version)
            self._references[name] = known
        return known

    def _fetched(self, version: Version) -> Reference:
        folder = self.settings.folder / "references" / version.name
        rows = _rows(version, folder)
        if not rows:
            raise NoReference(
                f"version {version.version} was registered without a reference: train it again, "
                f"`dvc repro` of {version.name}"
            )
        said = self._declared(version, folder)
        layout = Layout.learn(rows, defaults=said.defaults, limit=self.settings.fields)
        _prune(folder, version.run_id)
        return Reference(version, rows, said, layout)

    def _declared(self, version: Version, folder: Path) -> Declared:
        file = folder / version.run_id / f"model-{version.version}.py"
        try:
            if not file.is_file():
                file.parent.mkdir(parents=True, exist_ok=True)
                replace_text(file, _code(version))
            return declared(file.read_text())
        except Exception as error:
            # Watched all the same, without groups and defaults.
            log.warning("%s: model.py not read: %s", version.name, _first_line(error))
            return Declared()


def _registered(most: int) -> dict[str, Version]:
    from slipway.registry import tracking

    registry = tracking.client()
    found: dict[str, Version] = {}
    for model in tracking.every(registry.search_registered_models):
        number = model.aliases.get(CHAMPION)
        if number is None or len(found) >= most or not NAME.fullmatch(model.name):
            continue
        version = registry.get_model_version(model.name, number)
        found[model.name] = Version(
            name=model.name,
            version=str(version.version),
            run_id=version.run_id or "",
            tags={str(key): str(value) for key, value in version.tags.items()},
        )
    return dict(sorted(found.items()))


def _rows(version: Version, folder: Path) -> list[dict[str, Any]]:
    """Raises NoReference: it cannot be fetched, or is damaged; tried again in the next round."""
    from slipway.registry import reference

    try:
        found: list[dict[str, Any]] = reference.read(version, folder)
    except Exception as error:
        # A copy that was damaged would be read for ever.
        (folder / version.run_id / reference.FILE).unlink(missing_ok=True)
        raise NoReference(
            f"the reference of version {version.version} cannot be read: {_first_line(error)}"
        ) from error
    return [row for row in found if isinstance(row, dict)]


def _code(version: Version) -> str:
    import mlflow

    with tempfile.TemporaryDirectory(prefix="slipway-monitor-") as scratch:
        place = mlflow.artifacts.download_artifacts(
            f"models:/{version.name}/{version.version}/model.py", dst_path=scratch
        )
        return Path(place).read_text()


def _prune(folder: Path, current: str) -> None:
    """Keep the newest references of a project, and the one in use."""
    held = sorted(
        (each for each in folder.iterdir() if each.name != current),
        key=lambda each: each.stat().st_mtime,
    )
    for each in held[: max(0, len(held) - KEPT + 1)]:
        shutil.rmtree(each, ignore_errors=True)


def _kept(file: Path) -> dict[str, Version]:
    try:
        return {each["name"]: Version(**each) for each in json.loads(file.read_text())}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, KeyError) as error:
        log.warning("%s is damaged and not used: %s", file, _first_line(error))
        return {}


def _write(file: Path, champions: dict[str, Version]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    replace_text(file, json.dumps([each.model_dump() for each in champions.values()]))


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
