"""Choose the projects whose README the newcomer's walk executes, from the files that changed.

One project costs about 27 CPU seconds in the walk: DVC starts four processes for its stages, and
the page's requests wait for the model server. All 28 would cost 13 CPU minutes in every
`make test`. The walk therefore takes

- the starters, and the projects that the repository's own pages name in a command, always;
- the projects that a change concerns, by `RULES`, at most `LIMIT` of them;
- every project with SLIPWAY_TEST_ALL=1, as `make test-all` sets it.

A file without a rule concerns every project, and `test_selection.py` fails for a file of the
repository that has none. What was chosen, and why, is printed at the end of the run.
"""

import hashlib
import os
import re
import subprocess
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from slipway.project import Project, discover

# With 1, the walk includes every project.
ALL = "SLIPWAY_TEST_ALL"
# A commit to compare with, instead of the merge base with origin/main.
SINCE = "SLIPWAY_TEST_SINCE"
# Projects beyond those that are always walked: 6 x 27 CPU seconds are under three minutes.
LIMIT = 6
DAY = 24 * 60 * 60
# The name under which the walk's report carries the lines that are printed at the end.
PROPERTY = "newcomer_selection"

# Every page in these folders is executed, in this order.
PAGE_FOLDERS = ("services", "feature_repo", "benchmarks", "clients", "docs", "infra")
# Pages with ```sh blocks that the walk does not execute, with the reason.
EXECUTED_ELSEWHERE = {
    "k8s/README.md": "tests/infra/test_kubernetes_run.py executes it and looks at what it makes",
}

SHELL_BLOCK = re.compile(r"^```sh\n(.*?)^```", re.DOTALL | re.MULTILINE)
HEREDOC = re.compile(r"<<'(\w+)'")
RESULTS = re.compile(r"<!-- results -->.*?<!-- /results -->", re.DOTALL)


def shell_blocks(file: Path) -> list[str]:
    """Return the text of each ```sh block of a page."""
    return SHELL_BLOCK.findall(file.read_text())


def commands(text: str) -> list[str]:
    """Return the commands of the ```sh blocks in Markdown: a line, or one with its heredoc."""
    found: list[str] = []
    for block in SHELL_BLOCK.findall(text):
        end = ""
        for line in block.strip().splitlines():
            if end:
                found[-1] += f"\n{line}"
                end = "" if line == end else end
            else:
                found.append(line)
                opened = HEREDOC.search(line)
                end = opened[1] if opened else ""
    return found


def pages(root: Path) -> list[Path]:
    """Return the pages outside of the projects whose commands every walk executes."""
    found = [root / "README.md", root / "CONTRIBUTING.md"]
    for folder in PAGE_FOLDERS:
        found += sorted((root / folder).rglob("*.md"))
    return found


def own_commands(project: Project, root: Path) -> list[str]:
    """Return the commands of a project's README that no other walk executes.

    `slipway readme` writes the block between the marks, the same for every project; test_readmes.py
    holds it to the template. Only what stands outside of the marks is the project's own.
    """
    text = (project.folder / "README.md").read_text()
    elsewhere = set(commands("\n".join(page.read_text() for page in pages(root))))
    elsewhere.update(commands("\n".join(RESULTS.findall(text))))
    return [line for line in commands(RESULTS.sub("", text)) if line not in elsewhere]


def always_walked(root: Path) -> dict[str, str]:
    """Return the projects of every walk, each with the reason."""
    found = {each.name: "starter" for each in discover(root) if each.params.starter}
    names = {each.name for each in discover(root)}
    for page in pages(root):
        for line in commands(page.read_text()):
            for name in names.intersection(re.findall(r"\w+", line)) - found.keys():
                found[name] = f"named by {page.relative_to(root)}"
    return dict(sorted(found.items()))


Chooser = Callable[[str, list[Project], Path], Iterable[str]]


def nothing(file: str, projects: list[Project], root: Path) -> Iterable[str]:
    """No project beyond those that are always walked."""
    return ()


def owner(file: str, projects: list[Project], root: Path) -> Iterable[str]:
    """The project in whose folder the file lies; none if the project was deleted."""
    return (each.name for each in projects if file.startswith(f"{place(each, root)}/"))


def users_of_data_set(file: str, projects: list[Project], root: Path) -> Iterable[str]:
    """The projects that train on the data set of this catalogue entry, or name it in their code."""
    name = Path(file).stem
    for each in projects:
        sources = [each.folder / "params.yaml", *sorted(each.folder.glob("*.py"))]
        if any(re.search(rf"\b{re.escape(name)}\b", source.read_text()) for source in sources):
            yield each.name


def with_own_commands(file: str, projects: list[Project], root: Path) -> Iterable[str]:
    """The projects whose README has commands of its own: they use the special packages."""
    return (each.name for each in projects if own_commands(each, root))


def every(file: str, projects: list[Project], root: Path) -> Iterable[str]:
    """Every project."""
    return (each.name for each in projects)


# The first pattern that fits decides; `*` matches slashes too. The contract tests of
# tests/pipelines/test_projects.py train, register and serve every project in every run, whatever
# changed. These rules only select whose README is also executed; for shared code, the starters'
# are.
RULES: Mapping[str, Chooser] = {
    # A project's generated files: `slipway check` and test_readmes.py compare them to their source.
    "pipelines/*/*/dvc.lock": nothing,
    "pipelines/*/*/dvc.yaml": nothing,
    "pipelines/*/*/metrics.json": nothing,
    "pipelines/*/*/examples.json": nothing,
    "pipelines/*/*/pictures/*": nothing,
    "pipelines/datasets/*.yaml": users_of_data_set,
    "pipelines/*/*/*": owner,
    # The lock with Spark, River and the like, which only some projects' own commands use.
    "infra/environment/locks/methods.txt": with_own_commands,
    "slipway/*": nothing,
    "services/*": nothing,
    "feature_repo/*": nothing,
    "infra/*": nothing,
    "k8s/*": nothing,
    "benchmarks/*": nothing,
    "clients/*": nothing,
    "docs/*": nothing,
    "tests/*": nothing,
    ".github/*": nothing,
    ".ci/*": nothing,
    ".dvc/*": nothing,
    ".devcontainer/*": nothing,
    ".dockerignore": nothing,
    ".dvcignore": nothing,
    ".editorconfig": nothing,
    ".gitignore": nothing,
    ".pre-commit-config.yaml": nothing,
    "CHANGELOG.md": nothing,
    "CONTRIBUTING.md": nothing,
    "LICENSE": nothing,
    "Makefile": nothing,
    "README.md": nothing,
    "SECURITY.md": nothing,
    "docker-compose.yml": nothing,
    "dvc.lock": nothing,
    "dvc.yaml": nothing,
    "params.yaml": nothing,
    "mkdocs.yml": nothing,
    "pyproject.toml": nothing,
}


def place(project: Project, root: Path) -> str:
    """Return the project's folder relative to the repository, like `pipelines/ml/titanic`."""
    return project.folder.relative_to(root).as_posix()


def rule_of(file: str) -> Chooser | None:
    """Return what decides about a file, None if no pattern fits."""
    return next((rule for pattern, rule in RULES.items() if fnmatchcase(file, pattern)), None)


class NoBase(Exception):
    """There is no commit to compare with; the message says why."""


def git(root: Path, *words: str) -> str:
    """Return what git prints, or raise `NoBase` with what it complains of."""
    done = subprocess.run(["git", *words], cwd=root, capture_output=True, text=True)
    if done.returncode:
        raise NoBase(done.stderr.strip() or f"`git {' '.join(words)}` failed")
    return done.stdout


def base(root: Path) -> tuple[str, str]:
    """Return the commit to compare with, and how it was found.

    Raises:
        NoBase: none can be found, as in a shallow clone or outside of git.
    """
    if given := os.environ.get(SINCE):
        return _commit(root, given), f"{SINCE}={given}"
    head = _commit(root, "HEAD")
    try:
        merged = git(root, "merge-base", "HEAD", "origin/main").strip()
    except NoBase:
        merged = head
    # On main itself the merge base is HEAD, and nothing would have changed.
    if merged != head:
        return merged, "merge base with origin/main"
    if earlier := _a_day_before(root, head):
        return earlier, "the last commit a day before HEAD"
    return _commit(root, "HEAD~1"), "HEAD~1"


def _a_day_before(root: Path, head: str) -> str:
    """Return the newest ancestor that is at least a day older; empty if there is none.

    What is merged or pushed at once is several commits; those of the last day count as the change.
    """
    written = int(git(root, "show", "--no-patch", "--format=%ct", head))
    return git(root, "rev-list", "--max-count=1", f"--before={written - DAY}", head).strip()


def _commit(root: Path, name: str) -> str:
    wanted = ("rev-parse", "--verify", "--end-of-options", f"{name}^{{commit}}")
    try:
        return git(root, *wanted).strip()
    except NoBase as error:
        raise NoBase(f"git knows no commit {name} here ({error})") from error


def changed_files(root: Path, commit: str) -> list[str]:
    """Return the files that differ from the commit, committed or not, new ones included."""
    differing = git(root, "diff", "--name-only", "--no-renames", "-z", commit, "--")
    new = git(root, "ls-files", "--others", "--exclude-standard", "-z")
    return sorted({name for name in (differing + new).split("\0") if name})


@dataclass(frozen=True)
class Selection:
    """The projects of one walk, each with the reason, and those that had to be left out."""

    compared: str
    """The commit that the working tree was compared with, or why there is none."""
    always: dict[str, str]
    changed: dict[str, str]
    left_out: dict[str, str]

    @property
    def walked(self) -> list[str]:
        """All projects of the walk, by name."""
        return sorted({*self.always, *self.changed})

    def lines(self) -> list[str]:
        """Return what is printed at the end of the run."""
        lines = [f"compared with: {self.compared}"]
        for group, members in (("always", self.always), ("changed", self.changed)):
            lines += [f"{group}: {name} ({reason})" for name, reason in members.items()]
        if self.left_out:
            lines.append(
                f"left to `make test-all`, over the limit of {LIMIT}: {', '.join(self.left_out)}"
            )
        return lines


def concerned(files: Iterable[str], root: Path) -> dict[str, str]:
    """Return the projects that the changed files concern by `RULES`, each with the first reason."""
    projects = discover(root)
    found: dict[str, str] = {}
    for file in files:
        rule = rule_of(file)
        for name in (rule or every)(file, projects, root):
            found.setdefault(name, file if rule else f"{file}, which has no rule")
    return found


def select(root: Path, files: Iterable[str] | None = None) -> Selection:
    """Choose the projects to walk for these changed files, or for what git says has changed.

    Where no base is found (a clone of depth 1, or an archive without git), every project counts as
    changed. That is not more reason to walk all 28 in each `make test` than a change of shared code
    is, so `LIMIT` holds here too. Over the limit, projects with commands of their own come first,
    since no other run executes those; the others are drawn by the hash of the commit, so the same
    commit draws the same projects and the next one draws others.
    """
    always = always_walked(root)
    if os.environ.get(ALL) == "1":
        rest = {each.name: f"{ALL}=1" for each in discover(root) if each.name not in always}
        return Selection(f"nothing, {ALL}=1 walks every project", always, rest, {})
    if files is None:
        try:
            commit, how = base(root)
            found = concerned(changed_files(root, commit), root)
            compared = f"{commit[:12]} ({how})"
        except NoBase as fault:
            found = {each.name: "no base" for each in discover(root)}
            compared = f"nothing, so every project counts as changed: {fault}"
    else:
        found, compared = concerned(files, root), "the files given"
    wanted = {name: reason for name, reason in found.items() if name not in always}
    ordered = sorted(wanted, key=_order(root))
    chosen = {name: wanted[name] for name in sorted(ordered[:LIMIT])}
    left_out = {name: wanted[name] for name in sorted(ordered[LIMIT:])}
    return Selection(compared, always, chosen, left_out)


def _order(root: Path) -> Callable[[str], tuple[bool, str]]:
    own = {each.name for each in discover(root) if own_commands(each, root)}
    try:
        seed = _commit(root, "HEAD")
    except NoBase:
        seed = ""
    return lambda name: (name not in own, hashlib.sha256(f"{seed}{name}".encode()).hexdigest())


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print which projects the walk took, and why, if the walk was part of this run."""
    printed = False
    for reports in terminalreporter.stats.values():
        for report in reports:
            for name, lines in getattr(report, "user_properties", ()):
                if name == PROPERTY and not printed:
                    printed = True
                    terminalreporter.section("projects of the newcomer's walk")
                    terminalreporter.write_line("\n".join(lines))
