"""Imports go down: a room rests on rooms of lower floors, and no files import in a circle.

The floors are the architecture of the project. Contract and data are at the bottom; then come
training and the registry, the services, and what deploys and observes them; the command line
finds its commands by their file name. The projects in `pipelines/` rest on `slipway/` alone.
"""

import ast
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.conftest import ROOT

# From the bottom. A room is a package or a module; the longest name that fits decides.
FLOORS: list[set[str]] = [
    {
        *("slipway", "slipway.arithmetic", "slipway.fault", "slipway.files", "slipway.home"),
        *(
            "slipway.arguments",
            "slipway.marks",
            "slipway.keyring",
            "slipway.names",
            "slipway.rest",
            "slipway.paths",
            "slipway.processes",
            "slipway.quiet",
            "slipway.stage_events",
        ),
    },
    {"slipway.contract", "slipway.datasets", "slipway.statistics"},
    {"slipway.media"},
    {"slipway.explain", "slipway.predictions", "slipway.programs", "slipway.quality"},
    {"slipway.project"},
    {"slipway.dependencies", "slipway.training"},
    {"slipway.deep", "slipway.reporting", "slipway.repro"},
    {"slipway.kits", "slipway.registry", "slipway.stages"},
    {"slipway.access", "slipway.features", "slipway.policy", "slipway.projects"},
    {"slipway.cli", "slipway.__main__"},
    {"feature_repo", "pipelines"},
    {"services", "services.health", "services.settings", "services.zero_init"},
    {"services.jobs", "services.web"},
    {
        *(
            "services.explain",
            "services.features",
            "services.mlflow",
            "services.monitor",
            "services.predict",
        ),
        *("services.rollout", "services.stream"),
    },
    {"services.trainer"},
    {"services.metrics_page", "services.with_secrets"},
    {"infra.committed", "infra.docker", "infra.documentation", "infra.environment", "infra.load"},
    {"infra.cluster", "infra.slo"},
    {
        "infra.compose",
        "infra.delivery",
        "infra.grafana",
        "infra.images",
        "infra.local",
        "infra.proxy",
    },
    {"infra.chaos", "infra.demo", "infra.locust"},
    {"benchmarks"},
]
TOPS = ("slipway", "services", "infra", "benchmarks", "feature_repo", "pipelines")


@cache
def modules() -> dict[str, Path]:
    """Return every module of the project by its dotted name; a package by its `__init__.py`."""
    files = (file for top in TOPS for file in sorted((ROOT / top).rglob("*.py")))
    found = {".".join(file.relative_to(ROOT).with_suffix("").parts): file for file in files}
    return {name.removesuffix(".__init__"): file for name, file in found.items()}


@cache
def imports() -> dict[str, set[str]]:
    """Return which modules of the project each one imports, in functions and by name as well."""
    return {name: set(_imported(name, file)) - {name} for name, file in modules().items()}


def _imported(name: str, file: Path) -> Iterator[str]:
    package = name if file.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names if each.name in modules())
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: len(package.split(".")) - node.level + 1]
            whole = ".".join([*base, *filter(None, [node.module])]) if node.level else node.module
            for each in node.names:
                inner = f"{whole}.{each.name}"
                if inner in modules() or whole in modules():
                    yield inner if inner in modules() else str(whole)
        elif isinstance(node, ast.Call):
            yield from (each for each in _by_name(node) if each in modules())


def _by_name(call: ast.Call) -> Iterator[str]:
    """Yield the module that `import_module("...")` names."""
    called = call.func
    name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
    if name == "import_module" and call.args and isinstance(call.args[0], ast.Constant):
        yield str(call.args[0].value)


def room_of(module: str) -> str:
    """Return the room that the module belongs to: the longest name in FLOORS that fits."""
    name = module
    while name:
        if any(name in rooms for rooms in FLOORS):
            return name
        name = name.rpartition(".")[0]
    raise AssertionError(f"{module} stands on no floor: add its room to FLOORS")


def floor_of(module: str) -> int:
    room = room_of(module)
    return next(number for number, rooms in enumerate(FLOORS) if room in rooms)


def test_no_import_goes_up() -> None:
    up = [
        f"{one} imports {other}"
        for one, others in imports().items()
        for other in others
        if floor_of(other) > floor_of(one)
    ]
    assert not up


def test_projects_rest_on_the_shared_library_alone() -> None:
    outside = [
        f"{one} imports {other}"
        for one, others in imports().items()
        for other in others
        if one.startswith("pipelines.")
        and not other.startswith(("slipway.", ".".join(one.split(".")[:3])))
    ]
    assert not outside


def test_no_files_import_in_a_circle() -> None:
    with pytest.raises(CycleError):
        TopologicalSorter({"a": {"b"}, "b": {"a"}}).prepare()
    TopologicalSorter(imports()).prepare()


def test_imports_by_name_count() -> None:
    [call] = ast.parse('importlib.import_module("slipway.home")').body
    assert isinstance(call, ast.Expr)
    assert isinstance(call.value, ast.Call)
    assert list(_by_name(call.value)) == ["slipway.home"]
    assert "slipway.reporting.profile" in imports()["slipway.stages.evaluate"]


def test_no_rooms_import_in_a_circle() -> None:
    rooms: dict[str, set[str]] = {}
    for one, others in imports().items():
        rooms.setdefault(room_of(one), set()).update(room_of(each) for each in others)
    TopologicalSorter({room: others - {room} for room, others in rooms.items()}).prepare()
