"""Test the selection of projects for the newcomer's walk: every file has a rule."""

import subprocess
from pathlib import Path

import pytest

from slipway.project import discover
from tests import selection
from tests.conftest import ROOT, files_of_checkout
from tests.selection import ALL, LIMIT, RULES, SINCE, rule_of, select

STARTERS = {each.name for each in discover(ROOT) if each.params.starter}


@pytest.fixture(autouse=True)
def variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the settings of this test run."""
    for name in (ALL, SINCE):
        monkeypatch.delenv(name, raising=False)


def test_every_file_of_the_repository_has_a_rule() -> None:
    without = [name for name in files_of_checkout() if rule_of(name) is None]
    assert without == [], "add a pattern to RULES of tests/selection.py"


def test_every_rule_has_a_file() -> None:
    deciding = {id(pattern) for pattern in RULES}
    for name in files_of_checkout():
        pattern = next((each for each in RULES if selection.fnmatchcase(name, each)), None)
        deciding.discard(id(pattern))
    unused = [pattern for pattern in RULES if id(pattern) in deciding]
    assert unused in ([], ["LICENSE"]), "no file of the repository is decided by these patterns"


def test_starters_and_what_pages_name_are_always_walked() -> None:
    found = select(ROOT, [])
    assert set(found.always) >= STARTERS
    assert found.always["repurchase"] == "named by feature_repo/README.md"
    assert found.changed == {}


@pytest.mark.parametrize(
    ("file", "projects"),
    [
        ("pipelines/ml/uplift/train.py", {"uplift"}),
        ("pipelines/ml/uplift/README.md", {"uplift"}),
        ("pipelines/ml/uplift/metrics.json", set()),
        ("pipelines/datasets/cookie_cats.yaml", {"ab_test"}),
        ("pipelines/ml/deleted/train.py", set()),
        ("slipway/contract/gate.py", set()),
        ("README.md", set()),
    ],
)
def test_a_change_walks_what_it_concerns(file: str, projects: set[str]) -> None:
    assert select(ROOT, [file]).changed.keys() == projects


def projects_with_commands() -> set[str]:
    return {each.name for each in discover(ROOT) if selection.own_commands(each, ROOT)}


def test_special_packages_walk_the_projects_with_commands_of_their_own() -> None:
    found = select(ROOT, ["infra/environment/locks/methods.txt"])
    assert found.changed
    assert found.changed.keys() <= projects_with_commands()


def test_an_unknown_file_concerns_every_project() -> None:
    found = select(ROOT, ["somewhere/new.txt"])
    everything = {each.name for each in discover(ROOT)}
    assert {*found.walked, *found.left_out} == everything
    assert len(found.changed) == LIMIT
    assert set(found.changed.values()) == {"somewhere/new.txt, which has no rule"}
    assert f"over the limit of {LIMIT}: " in found.lines()[-1]


def test_over_the_limit_commands_that_no_other_run_executes_come_first() -> None:
    found = select(ROOT, ["somewhere/new.txt"])
    own = projects_with_commands() - found.always.keys()
    assert len(found.changed) == LIMIT
    # All of them, or nothing else.
    assert own <= found.changed.keys() or found.changed.keys() <= own


def test_the_night_walks_every_project(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ALL, "1")
    assert set(select(ROOT).walked) == {each.name for each in discover(ROOT)}


def test_every_shell_block_is_executed() -> None:
    executed = {page.relative_to(ROOT).as_posix() for page in selection.pages(ROOT)}
    outside = set()
    for name in files_of_checkout("*.md"):
        # The walk takes the projects' own pages by RULES, and `make test-all` takes them all.
        if not name.startswith("pipelines/") and selection.shell_blocks(ROOT / name):
            outside |= {name} - executed
    assert outside == set(selection.EXECUTED_ELSEWHERE)


def test_a_heredoc_is_one_command() -> None:
    text = "```sh\nls\ncat > a <<'END'\none\n\ntwo\nEND\nrm a\n```\n"
    assert selection.commands(text) == ["ls", "cat > a <<'END'\none\n\ntwo\nEND", "rm a"]


def repository(folder: Path) -> Path:
    """Make a repository of three commits, one file each."""
    folder.mkdir()
    run(folder, "init", "--quiet", "--initial-branch=main")
    for number in range(3):
        (folder / f"{number}.txt").write_text("first\n")
        run(folder, "add", ".")
        run(folder, "commit", "--quiet", "--message", str(number))
    return folder


def run(folder: Path, *words: str) -> None:
    own = ("-c", "user.name=test", "-c", "user.email=test@localhost")
    subprocess.run(["git", *own, *words], cwd=folder, check=True, capture_output=True)


def test_without_a_remote_the_last_commit_and_the_working_tree_count(tmp_path: Path) -> None:
    folder = repository(tmp_path / "plain")
    (folder / "0.txt").write_text("changed\n")
    (folder / "new.txt").touch()
    commit, how = selection.base(folder)
    assert how == "HEAD~1"
    assert selection.changed_files(folder, commit) == ["0.txt", "2.txt", "new.txt"]


def test_on_main_the_commits_of_the_last_day_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "main"
    folder.mkdir()
    run(folder, "init", "--quiet")
    for number, hours in enumerate((50, 30, 20, 0)):
        monkeypatch.setenv("GIT_COMMITTER_DATE", f"{1_700_000_000 - hours * 3600} +0000")
        (folder / f"{number}.txt").touch()
        run(folder, "add", ".")
        run(folder, "commit", "--quiet", "--message", str(number))
    commit, how = selection.base(folder)
    assert how == "the last commit a day before HEAD"
    assert selection.changed_files(folder, commit) == ["2.txt", "3.txt"]


def test_a_branch_is_compared_with_where_it_left_main(tmp_path: Path) -> None:
    origin = repository(tmp_path / "origin")
    run(tmp_path, "clone", "--quiet", str(origin), "clone")
    clone = tmp_path / "clone"
    # On main the merge base is HEAD: the last commit counts.
    assert selection.base(clone)[1] == "HEAD~1"
    for number in (3, 4):
        (clone / f"{number}.txt").touch()
        run(clone, "add", ".")
        run(clone, "commit", "--quiet", "--message", str(number))
    commit, how = selection.base(clone)
    assert how == "merge base with origin/main"
    assert selection.changed_files(clone, commit) == ["3.txt", "4.txt"]


def test_a_given_commit_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = repository(tmp_path / "plain")
    monkeypatch.setenv(SINCE, "HEAD~2")
    commit, how = selection.base(folder)
    assert how == f"{SINCE}=HEAD~2"
    assert selection.changed_files(folder, commit) == ["1.txt", "2.txt"]


def test_a_shallow_clone_has_no_base(tmp_path: Path) -> None:
    origin = repository(tmp_path / "origin")
    run(tmp_path, "clone", "--quiet", "--depth=1", f"file://{origin}", "clone")
    with pytest.raises(selection.NoBase, match="git knows no commit HEAD~1 here"):
        selection.base(tmp_path / "clone")


def test_without_a_base_every_project_counts_as_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SINCE, "no-such-commit")
    found = select(ROOT)
    assert "every project counts as changed: git knows no commit no-such-commit" in found.compared
    assert len(found.changed) == LIMIT
    assert {*found.walked, *found.left_out} == {each.name for each in discover(ROOT)}
