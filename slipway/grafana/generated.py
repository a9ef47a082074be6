"""The dashboards' files that are committed: written from the code, or compared with it."""

import importlib
import json
import pkgutil
from pathlib import Path

from slipway import committed, home
from slipway.grafana import boards
from slipway.grafana.dashboard import Dashboard

PATTERN = "*.json"


def folder() -> Path:
    return home.root() / "infra" / "grafana" / "dashboards"


def dashboards() -> list[Dashboard]:
    """Every module of `slipway.grafana.boards` has one, called DASHBOARD."""
    names = [each.name for each in pkgutil.iter_modules(boards.__path__)]
    found = [importlib.import_module(f"{boards.__name__}.{name}") for name in sorted(names)]
    return [module.DASHBOARD for module in found]


def texts() -> dict[str, str]:
    """Every dashboard's JSON by file name."""
    return {f"{each.name}.json": json.dumps(each.drawn(), indent=1) + "\n" for each in dashboards()}


def write(into: Path | None = None) -> list[Path]:
    """Write the files; those of dashboards that are gone go."""
    return committed.write(texts(), into or folder(), pattern=PATTERN)


def differences(into: Path | None = None) -> list[str]:
    """A line for each file that is not what the code gives."""
    return committed.differences(
        texts(),
        into or folder(),
        pattern=PATTERN,
        owner="dashboard",
        sources="slipway.grafana and infra/slo",
    )
