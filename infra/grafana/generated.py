"""The committed dashboard files: write them from the code, or compare them with it."""

import importlib
import json
import pkgutil
from pathlib import Path

from infra import committed
from infra.grafana import boards
from infra.grafana.dashboard import Dashboard
from slipway import home

PATTERN = "*.json"


def folder() -> Path:
    return home.root() / "infra" / "grafana" / "dashboards"


def dashboards() -> list[Dashboard]:
    """Return the DASHBOARD of every module of `infra.grafana.boards`."""
    names = [each.name for each in pkgutil.iter_modules(boards.__path__)]
    found = [importlib.import_module(f"{boards.__name__}.{name}") for name in sorted(names)]
    return [module.DASHBOARD for module in found]


def texts() -> dict[str, str]:
    """Return every dashboard's JSON by file name."""
    return {
        f"{each.name}.json": json.dumps(each.to_json(), indent=1) + "\n" for each in dashboards()
    }


def write(into: Path | None = None) -> list[Path]:
    """Write the files, and delete those of dashboards that no longer exist."""
    return committed.write(texts(), into or folder(), pattern=PATTERN)


def differences(into: Path | None = None) -> list[str]:
    """Return a line for each file that differs from what the code generates."""
    return committed.differences(
        texts(),
        into or folder(),
        pattern=PATTERN,
        owner="dashboard",
        sources="infra.grafana and infra/slo",
    )
