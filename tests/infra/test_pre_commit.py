"""The pre-commit hooks run the commands of `make check`, on the same files."""

import re
import shlex
from fnmatch import fnmatchcase
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT, files_of_checkout

HOOKS = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
MAKEFILE = (ROOT / "Makefile").read_text()
# pre-commit passes files that ruff would exclude; `make check` passes the folder.
ONLY_HOOKS = {"--force-exclude"}


def checks() -> list[list[str]]:
    """Return the commands of `make check`, without the files that they check."""
    recipe = re.search(r"^check:.*\n((?:\t.*\n)+)", MAKEFILE, re.MULTILINE)
    assert recipe
    lines = recipe[1].replace("$(BIN)", "BIN").splitlines()
    commands = [shlex.split(line.strip("\t@")) for line in lines]
    return [[word for word in words if word != "." and word[0] != "$"] for words in commands]


def commands_of_hooks() -> list[list[str]]:
    entries = [shlex.split(hook["entry"].replace(".venv/bin", "BIN")) for hook in HOOKS]
    return [[word for word in entry if word not in ONLY_HOOKS] for entry in entries]


def test_the_hooks_name_every_check() -> None:
    found = checks()
    assert len(found) >= 8
    assert commands_of_hooks() == found


@pytest.mark.parametrize(
    ("hook", "pattern"),
    [
        ("dockerfiles", "*Dockerfile*"),
        ("workflows", ".github/workflows/*.yml"),
        ("actions", ".github/actions/*/action.yml"),
    ],
)
def test_a_hook_gets_the_files_of_the_check(hook: str, pattern: str) -> None:
    settings: dict[str, Any] = next(each for each in HOOKS if each["id"] == hook)
    wanted = [name for name in files_of_checkout() if fnmatchcase(name, pattern)]
    assert wanted
    assert wanted == [name for name in files_of_checkout() if re.search(settings["files"], name)]
