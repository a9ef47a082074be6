"""Check the commands of each project's README, without training anything.

tests/test_newcomer.py executes the READMEs of the projects that a change affects. For the others,
this checks that the generated commands are the template's, which the starters execute in every
run, with a record that the project's model accepts.
"""

import json
import re
import shlex
from collections.abc import Iterator
from typing import Any

import pytest

from slipway import home
from slipway.media.base64_text import encode_base64
from slipway.project import Project
from slipway.projects import readme
from tests.conftest import PROJECTS, ROOT, by_name
from tests.selection import ALL, RESULTS, commands, own_commands, pages, select

pytestmark = pytest.mark.parametrize("project", PROJECTS, ids=by_name)


def generated(project: Project) -> list[str]:
    """Return the commands of the README's generated block."""
    return commands("\n".join(RESULTS.findall((project.folder / "README.md").read_text())))


def template(project: Project) -> list[str]:
    """Return the commands that `slipway readme` writes for the project."""
    return commands(readme.results(project))


def test_the_generated_commands_are_the_templates(project: Project) -> None:
    found = generated(project)
    assert found == template(project)
    folder = project.folder.relative_to(ROOT).as_posix()
    train = [] if project.params.starter else [f"dvc repro {folder}/dvc.yaml"]
    # The same commands as the starters', which every run executes, but for name and record.
    assert found == [*train, readme.curl(project)]


def test_the_model_accepts_the_request(project: Project) -> None:
    for words in requests(project):
        body = json.loads(words[words.index("-d") + 1]) if "-d" in words else form(words)
        project.model().input_type().model_validate_json(json.dumps(body))


def form(words: list[str]) -> dict[str, Any]:
    """Return the fields of a form by the options -F of a command, files as base64.

    As the model server does, a list or an object is read as JSON.
    """
    fields = dict(
        words[place + 1].split("=", 1) for place, word in enumerate(words) if word == "-F"
    )
    return {
        name: encode_base64((ROOT / value[1:]).read_bytes())
        if value.startswith("@")
        else json.loads(value)
        if value.startswith(("[", "{"))
        else value
        for name, value in fields.items()
    }


def requests(project: Project) -> Iterator[list[str]]:
    for command in generated(project):
        if command.startswith("curl "):
            yield shlex.split(command)


def test_every_other_command_is_executed_when_the_page_changes(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The project's own commands are executed when its README changes, and every night."""
    monkeypatch.delenv(ALL, raising=False)
    text = (project.folder / "README.md").read_text()
    own = own_commands(project, ROOT)
    file = (project.folder / "README.md").relative_to(ROOT).as_posix()
    assert project.name in select(ROOT, [file]).walked
    monkeypatch.setenv(ALL, "1")
    assert project.name in select(ROOT, [file]).walked
    in_every_run = {line for page in pages(ROOT) for line in commands(page.read_text())}
    assert set(commands(text)) <= {*template(project), *in_every_run, *own}


def test_own_commands_use_existing_modules_and_ports(project: Project) -> None:
    """This finds a renamed module, or a port without a service, without running anything."""
    ports = {str(port) for port in home.PORTS.values()}
    for command in own_commands(project, ROOT):
        for module in re.findall(r"python -m ([\w.]+)", command):
            place = ROOT.joinpath(*module.split("."))
            # A package is started by its `__main__.py`.
            files = (place.with_suffix(".py"), place / "__main__.py")
            assert any(file.is_file() for file in files), command
        for port in re.findall(r"http://127\.0\.0\.1:(\d+)", command):
            assert port in ports, command
