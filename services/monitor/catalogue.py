"""The champions of the registry and their references, with copies on disk."""

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

from services.monitor.declared import Declaration, parse_declaration
from services.monitor.layout import Layout
from services.monitor.settings import Settings
from slipway.contract.modules import package_of
from slipway.files import replace_text
from slipway.quality.performance import Score, Target, scores

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger("slipway.monitor")
CHAMPION = "champion"
FILE = "champions.json"
# Project names become folder names here.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
# Copies of references that are kept, so that a rollback works also without the registry.
KEPT = 5


class VersionProperties(BaseModel):
    """The properties of a registered version that are needed without the registry."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    version: str
    run_id: str
    tags: dict[str, str]


@dataclass(frozen=True)
class Reference:
    """The test rows of a version, with which windows of its traffic are compared."""

    version: VersionProperties
    rows: list[dict[str, Any]]
    declaration: Declaration
    layout: Layout

    @cached_property
    def table(self) -> "pd.DataFrame":
        return self.layout.table(
            self.layout.values(
                row.get("record") or {}, row.get("prediction") or {}, row.get("features") or {}
            )
            for row in self.rows
        )

    @cached_property
    def target(self) -> Target | None:
        return Target.learn(self.rows)

    @cached_property
    def scores(self) -> list[Score]:
        return scores(self.target.pairs(self.rows), self.target) if self.target else []


class NoReference(LookupError):
    """Raised when a version has no reference, or it cannot be fetched."""


class Catalogue:
    """The champions, read from the registry each round; without it, the last known ones."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.queried = False
        self.reachable = False
        self.fault = "not queried yet"
        self.champions: dict[str, VersionProperties] = _read_champions(settings.folder / FILE)
        self._references: dict[str, Reference] = {}

    def refresh(self) -> None:
        """Query the registry for the champions; `reachable` and `fault` report an error."""
        try:
            found = _registered(self.settings.projects)
        except Exception as error:
            self.queried, self.reachable, self.fault = True, False, _first_line(error)
            log.warning(
                "the registry is unreachable, using the last known champions: %s", self.fault
            )
            return
        self.queried, self.reachable, self.fault = True, True, ""
        if found != self.champions:
            _write_champions(self.settings.folder / FILE, found)
            self.champions = found
        self._references = {
            name: each
            for name, each in self._references.items()
            if self.champions.get(name) == each.version
        }

    def reference(self, name: str) -> Reference:
        """Return the reference of the project's champion, fetched once and then cached.

        Raises:
            NoReference: the version was registered without one, or it cannot be fetched.
        """
        version = self.champions[name]
        known = self._references.get(name)
        if known is None or known.version != version:
            known = self._fetched(version)
            self._references[name] = known
        return known

    def _fetched(self, version: VersionProperties) -> Reference:
        folder = self.settings.folder / "references" / version.name
        rows = _rows(version, folder)
        if not rows:
            raise NoReference(
                f"version {version.version} was registered without a reference: train it again, "
                f"`dvc repro` of {version.name}"
            )
        declaration = self._declaration(version, folder)
        layout = Layout.learn(rows, defaults=declaration.defaults, limit=self.settings.fields)
        _prune(folder, version.run_id)
        return Reference(version, rows, declaration, layout)

    def _declaration(self, version: VersionProperties, folder: Path) -> Declaration:
        file = folder / version.run_id / f"model-{version.version}.py"
        try:
            if not file.is_file():
                file.parent.mkdir(parents=True, exist_ok=True)
                replace_text(file, _code(version))
            return parse_declaration(file.read_text())
        except Exception as error:
            # The project is still monitored, without groups and defaults.
            log.warning("%s: model.py cannot be read: %s", version.name, _first_line(error))
            return Declaration()


def _registered(most: int) -> dict[str, VersionProperties]:
    from slipway.registry import tracking

    registry = tracking.client()
    found: dict[str, VersionProperties] = {}
    for model in tracking.every(registry.search_registered_models):
        number = model.aliases.get(CHAMPION)
        if number is None or len(found) >= most or not NAME.fullmatch(model.name):
            continue
        version = registry.get_model_version(model.name, number)
        found[model.name] = VersionProperties(
            name=model.name,
            version=str(version.version),
            run_id=version.run_id or "",
            tags={str(key): str(value) for key, value in version.tags.items()},
        )
    return dict(sorted(found.items()))


def _rows(version: VersionProperties, folder: Path) -> list[dict[str, Any]]:
    """Return the reference rows.

    Raises:
        NoReference: they cannot be fetched, or are damaged; the next round tries again.
    """
    from slipway.registry import reference

    try:
        found: list[dict[str, Any]] = reference.read(version, folder)
    except Exception as error:
        # A damaged copy would otherwise be read again in every round.
        (folder / version.run_id / reference.FILE).unlink(missing_ok=True)
        raise NoReference(
            f"the reference of version {version.version} cannot be read: {_first_line(error)}"
        ) from error
    return [row for row in found if isinstance(row, dict)]


def _code(version: VersionProperties) -> str:
    """Return the project's `model.py`, which a version with siblings has in a package."""
    entry = _text(version, "model.py")
    package = package_of(entry)
    return _text(version, f"code/{package}/model.py") if package else entry


def _text(version: VersionProperties, path: str) -> str:
    import mlflow

    with tempfile.TemporaryDirectory(prefix="slipway-monitor-") as scratch:
        place = mlflow.artifacts.download_artifacts(
            f"models:/{version.name}/{version.version}/{path}", dst_path=scratch
        )
        return Path(place).read_text()


def _prune(folder: Path, current: str) -> None:
    """Delete all but the newest references of a project and the one in use."""
    old = sorted(
        (each for each in folder.iterdir() if each.name != current),
        key=lambda each: each.stat().st_mtime,
    )
    for each in old[: max(0, len(old) - KEPT + 1)]:
        shutil.rmtree(each, ignore_errors=True)


def _read_champions(file: Path) -> dict[str, VersionProperties]:
    try:
        return {each["name"]: VersionProperties(**each) for each in json.loads(file.read_text())}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, KeyError) as error:
        log.warning("%s is damaged and not used: %s", file, _first_line(error))
        return {}


def _write_champions(file: Path, champions: dict[str, VersionProperties]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    replace_text(file, json.dumps([each.model_dump() for each in champions.values()]))


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
