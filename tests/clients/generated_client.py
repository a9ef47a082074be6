"""A Python client that openapi-python-client generates from the model server's OpenAPI document."""

import importlib
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from tests.conftest import ROOT, install_group

# Its hooks would only format the code.
SETTINGS = "post_hooks: []\n"


def generate(document: dict[str, Any], folder: Path, shared: Path) -> None:
    """Write the client's package into `folder`; fail at any warning of the generator."""
    python = install_group("openapi", shared)
    source, settings = folder.with_suffix(".json"), folder.with_suffix(".yaml")
    source.write_text(json.dumps(document))
    settings.write_text(SETTINGS)
    done = subprocess.run(
        [
            *(python, "-m", "openapi_python_client", "generate", "--fail-on-warning"),
            *("--path", source, "--config", settings),
            *("--output-path", folder, "--meta", "none"),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@contextmanager
def importable(folder: Path) -> Iterator["GeneratedClient"]:
    """Make the generated package importable until the block ends."""
    sys.path.insert(0, str(folder.parent))
    try:
        yield GeneratedClient(folder.name)
    finally:
        sys.path.remove(str(folder.parent))
        for name in [each for each in sys.modules if each.partition(".")[0] == folder.name]:
            del sys.modules[name]


class GeneratedClient:
    """The operations of an imported client, and records made for them."""

    def __init__(self, package: str) -> None:
        self.package = package

    def module(self, name: str) -> Any:
        """Return a module of the package, such as `models`."""
        return importlib.import_module(f"{self.package}.{name}")

    def connect(self, address: str) -> Any:
        """Return the client's connection to a server without keys."""
        return self.module("client").Client(base_url=address, timeout=60)

    def operation(self, group: str, name: str) -> Any:
        """Return the module of an operation, which has `sync`, `asyncio` and `sync_detailed`."""
        return self.module(f"api.{group}.{name}")

    def record(self, operation: Any, content: dict[str, Any]) -> Any:
        """Return the record of this content as the operation's own type, sent unchanged."""
        kinds = [
            kind
            for kind in _classes(get_type_hints(operation.sync)["body"])
            if hasattr(kind, "from_dict") and content.keys() <= _fields(kind)
        ]
        made = kinds[0].from_dict(content)
        assert made.to_dict() == content
        return made

    def predict(self, connection: Any, name: str, content: dict[str, Any]) -> dict[str, Any]:
        """Return the prediction of a record, from the parsed response."""
        operation = self.operation("predict", f"predict_{name}")
        response = operation.sync(client=connection, body=self.record(operation, content))
        assert response.model == name, response
        (prediction,) = response.to_dict()["predictions"]
        found: dict[str, Any] = prediction
        return found


def _fields(kind: Any) -> set[str]:
    # A name that Python has already, such as `format`, gets an underscore.
    return {each.name.removesuffix("_") for each in kind.__attrs_attrs__}


def _classes(hint: Any) -> Iterator[type]:
    """Yield the classes of a union, and those of its lists."""
    if get_origin(hint) is None:
        yield hint
    for each in get_args(hint):
        yield from _classes(each)
