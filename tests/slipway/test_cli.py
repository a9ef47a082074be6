"""The command line: names of arguments, errors, lists, completion, and what it imports."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from slipway import policy
from slipway.cli import app
from slipway.names import project_names, unknown
from slipway.registry import aliases, tracking
from tests.conftest import PROJECTS, ROOT
from tests.small_models import NAMES, SmallModels

SLIPWAY = Path(sys.executable).with_name("slipway")
# Commands that print a list, by their words.
LISTS = {
    *("list", "datasets", "keys list", "runs list", "runs decisions", "history", "status", "logs"),
    *("rollout status", "images list", "affected", "features freshness", "features lineage"),
    "signatures list",
}


def slipway(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    # Another test of this process may have opened a registry by its address.
    inherited = {name: each for name, each in os.environ.items() if not name.startswith("MLFLOW_T")}
    return subprocess.run(
        [SLIPWAY, *words],
        cwd=ROOT,
        env={**inherited, **variables},
        capture_output=True,
        text=True,
        timeout=300,
    )


def commands(group: Any, *words: str) -> Iterator[tuple[str, Any]]:
    """Yield every command with its words."""
    for name, each in group.commands.items():
        if hasattr(each, "commands"):
            yield from commands(each, *words, name)
        else:
            yield " ".join((*words, name)), each


COMMANDS = dict(commands(typer.main.get_command(app)))


def test_a_project_is_called_the_same_everywhere() -> None:
    found = {}
    for words, command in COMMANDS.items():
        for parameter in command.params:
            if parameter.name in ("project", "projects") or (
                parameter.name in ("name", "names") and "PROJECT" in (parameter.metavar or "")
            ):
                found[words] = parameter.metavar
    assert set(found.values()) <= {"PROJECT", "[PROJECT]", "[PROJECT]...", "PROJECT|VIEW"}
    for words in ("policy show", "promote", "history", "runs start", "score", "verify", "predict"):
        assert words in found


def test_other_names_say_of_what() -> None:
    for words, command in COMMANDS.items():
        for parameter in command.params:
            if parameter.param_type_name == "argument" and parameter.name in ("name", "names"):
                assert parameter.metavar or words == "keys create", words


@pytest.mark.parametrize("words", sorted(LISTS))
def test_lists_are_also_printed_as_json(words: str) -> None:
    assert any("--json" in each.opts for each in COMMANDS[words].params)


def test_no_list_is_forgotten() -> None:
    assert {words for words in COMMANDS if words.rpartition(" ")[2] == "list"} <= LISTS


def test_every_command_says_what_it_does() -> None:
    assert all(
        (each.help or "").strip().partition("\n")[0].endswith(".") for each in COMMANDS.values()
    )


@pytest.mark.parametrize(
    "words",
    [
        ("policy", "show", "titanc"),
        ("policy", "set", "titanc", "--challenger", "5"),
        ("policy", "assign", "titanc", "champion", "1"),
        ("promote", "titanc", "1"),
        ("rollback", "titanc"),
        ("verify", "titanc"),
        ("readme", "titanc"),
        ("repro", "titanc"),
    ],
)
def test_an_unknown_project_is_one_line_with_a_suggestion(
    words: tuple[str, ...], tmp_path: Path
) -> None:
    done = slipway(*words, SLIPWAY_HOME=str(tmp_path))
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == "slipway: no project 'titanc'; did you mean titanic?\n"


def test_a_project_without_a_version_is_marked(tmp_path: Path) -> None:
    done = slipway("policy", "show", "titanic", SLIPWAY_HOME=str(tmp_path))
    assert done.returncode == 1
    assert "slipway repro titanic" in done.stderr


def test_names_that_are_like_nothing_list_the_known() -> None:
    assert unknown("project", "ml/titanc", ["titanic", "churn"]).endswith("did you mean titanic?")
    assert unknown("project", "zzz", ["titanic", "churn"]).endswith("known: titanic, churn")
    assert project_names() == sorted(each.name for each in PROJECTS)


def test_an_unexpected_error_is_one_line_and_keeps_its_traceback(tmp_path: Path) -> None:
    (tmp_path / "keys.json").mkdir()
    done = slipway("keys", "list", SLIPWAY_HOME=str(tmp_path))
    assert done.returncode == 1
    assert done.stderr.startswith("slipway: IsADirectoryError: ")
    assert done.stderr.count("\n") == 1
    kept = tmp_path / "logs" / "command-error.log"
    assert str(kept) in done.stderr
    assert "Traceback" in kept.read_text()
    shown = slipway("keys", "list", SLIPWAY_HOME=str(tmp_path), SLIPWAY_TRACEBACK="1")
    assert "Traceback" in shown.stderr


def test_empty_lists_say_so(tmp_path: Path) -> None:
    for words in (("keys", "list"), ("history",), ("rollout", "status"), ("logs",)):
        done = slipway(*words, SLIPWAY_HOME=str(tmp_path))
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip(), words
        as_json = slipway(*words, "--json", SLIPWAY_HOME=str(tmp_path))
        assert not json.loads(as_json.stdout), words


def test_keys_are_listed_as_json(tmp_path: Path) -> None:
    slipway("keys", "create", "shop", "--rate", "5", SLIPWAY_HOME=str(tmp_path))
    (key,) = json.loads(slipway("keys", "list", "--json", SLIPWAY_HOME=str(tmp_path)).stdout)
    assert (key["name"], key["state"], key["rate"]) == ("shop", "valid", 5)
    assert key["scopes"] == ["predict"]
    assert key["ends"] is None


def test_projects_are_listed_with_what_is_trained_and_served(tmp_path: Path) -> None:
    # Nothing listens on port 1.
    done = slipway("list", "--json", SLIPWAY_HOME=str(tmp_path), SLIPWAY_PREDICT_PORT="1")
    rows = json.loads(done.stdout)
    assert [each["name"] for each in rows] == [each.name for each in PROJECTS]
    assert {each["served"] for each in rows} == {None}
    trained = {each.name for each in PROJECTS if (each.folder / "work/data/test.parquet").is_file()}
    assert {each["name"] for each in rows if each["trained"]} == trained


def test_it_has_a_version() -> None:
    assert slipway("--version").stdout.startswith("slipway 0.")


@pytest.mark.parametrize(
    ("typed", "expected"), [("verify tita", "titanic"), ("policy show tita", "titanic")]
)
def test_the_shell_completes_projects(typed: str, expected: str) -> None:
    done = slipway(
        _SLIPWAY_COMPLETE="complete_bash",
        COMP_WORDS=f"slipway {typed}",
        COMP_CWORD=str(len(typed.split())),
    )
    assert done.stdout.split() == [expected]


IMPORTED = """
import sys
from slipway.cli import app
app(["policy", "show", "loans"], standalone_mode=False)
print(len(sys.modules), "mlflow" in sys.modules, "pandas" in sys.modules)
"""


def test_policy_show_reads_the_registry_without_mlflow(small_models: SmallModels) -> None:
    """MLflow's import was 2,400 modules and nearly all of the command's 5 seconds."""
    done = subprocess.run(
        [sys.executable, "-c", IMPORTED],
        cwd=ROOT,
        env={**os.environ, **small_models.variables()},
        capture_output=True,
        text=True,
        timeout=300,
    )
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["champion", "v1"], done.stderr
    count, *heavy = lines[-1].split()
    assert heavy == ["False", "False"]
    assert int(count) < 800


def test_aliases_and_tags_equal_those_of_mlflow(small_registry: SmallModels) -> None:
    registry = tracking.client()
    written = policy.Policy(shadow=0, timeout_seconds=7)
    policy.write(registry, "houses", written)
    try:
        for name in NAMES:
            read, known = aliases.registered_model(name), registry.get_registered_model(name)
            assert read.aliases == {key: str(value) for key, value in known.aliases.items()}
            assert read.tags == known.tags
        assert policy.read(aliases.registered_model("houses").tags[policy.TAG]) == written
        with pytest.raises(aliases.NoSuchModel, match="did you mean houses"):
            aliases.registered_model("house")
    finally:
        registry.delete_registered_model_tag("houses", policy.TAG)
