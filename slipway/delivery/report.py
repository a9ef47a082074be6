"""What a change does to the models, as Markdown for the comment on a pull request.

Everything comes from files that git keeps, at two moments. What became worse stands at the top,
whole: no metric is left out because another one is better.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from slipway.delivery import outcome
from slipway.delivery.affected import Changes, changes
from slipway.delivery.comparison import Comparison, Difference

HEAD = (
    "| project | metric | now | before | difference | gate | baseline | test rows "
    "| parity error | training | would be promoted |"
)
RULE = "| --- | --- | ---: | ---: | ---: | --- | ---: | ---: | ---: | ---: | --- |"
DETAIL = ("| metric | now | before | difference | gate |", "| --- | ---: | ---: | ---: | --- |")
# How a cell says that there is no number.
NONE = "-"
VERDICTS = {True: "yes", False: "**no**", None: "registration decides"}


@dataclass(frozen=True)
class Report:
    changes: Changes
    root: Path
    link: str = ""
    """Before the path of a picture: the address of the repository's files, or nothing."""

    @cached_property
    def compared(self) -> dict[str, Comparison]:
        """The projects whose metrics, gate or model changed, by folder."""
        read = outcome.in_tree(self.root)
        found = {}
        for project in self.changes.projects:
            now = outcome.at(read, project)
            before = outcome.at(self.changes.since.text, project)
            if now is not None and now != before:
                found[project] = Comparison(before, now)
        return found

    @cached_property
    def lost(self) -> list[str]:
        """Projects that had results and have none."""
        read = outcome.in_tree(self.root)
        return [
            project
            for project in self.changes.projects
            if outcome.at(read, project) is None
            and outcome.at(self.changes.since.text, project) is not None
        ]

    @property
    def untrained(self) -> Mapping[str, Sequence[str]]:
        """What the committed results of a project were not made from."""
        return self.changes.unmet

    def faults(self) -> list[str]:
        """What stands against taking the change as it is, a sentence each."""
        told = [f"{_name(each)} has lost its results" for each in self.lost]
        told += [
            f"{_name(each)} was not trained with this change ({_some(why)})"
            for each, why in self.untrained.items()
        ]
        for project, compared in self.compared.items():
            promoted, why = compared.promotion()
            told += [f"{_name(project)}: {why}"] if promoted is False else []
        return told

    def text(self) -> str:
        parts = [
            "## Models",
            self._counted(),
            *self._warnings(),
            *self._table(),
            *(self._detail(project) for project in self.compared),
            self._untouched(),
        ]
        return "\n\n".join(part for part in parts if part) + "\n"

    def _counted(self) -> str:
        every, touched = len(self.changes.projects), len(self.changes.reasons)
        return (
            f"Compared with `{self.changes.since.commit[:12]}`: of {every} projects {touched} have "
            f"other inputs, {len(self.compared)} other results, {len(self.untrained)} wait to be "
            "trained."
        )

    def _warnings(self) -> Iterator[str]:
        lines = [
            f"- {_name(project)}: {_movement(each)}"
            for project, compared in self.compared.items()
            for each in compared.worse
        ]
        if lines:
            yield "**Worse than before:**\n\n" + "\n".join(lines)
        lines = [
            f"- {_name(project)}: {sentence}"
            for project, compared in self.compared.items()
            for sentence in compared.loosened()
        ]
        if lines:
            yield "**Asked for less than before:**\n\n" + "\n".join(lines)
        if faults := self.faults():
            yield "**Stands against it:**\n\n" + "\n".join(f"- {each}" for each in faults)
        if gone := self.changes.removed:
            yield f"**Removed:** {', '.join(_name(each) for each in gone)}"

    def _table(self) -> Iterator[str]:
        if self.compared:
            yield "\n".join([HEAD, RULE, *map(self._row, self.compared)])

    def _row(self, project: str) -> str:
        compared = self.compared[project]
        now = compared.now
        first = compared.differences[0]
        promoted, _ = compared.promotion()
        cells = [
            _name(project),
            now.primary,
            _number(first.now),
            _number(first.before),
            _signed(first.by),
            str(now.condition).removeprefix(f"{now.primary} "),
            _number(now.baseline),
            f"{now.rows:,}",
            _number(now.metrics.get("parity_error")),
            self._training(project),
            VERDICTS[promoted],
        ]
        return "| " + " | ".join(cells) + " |"

    def _training(self, project: str) -> str:
        """Seconds of the last fit on this machine, which a clone does not hold."""
        file = self.root / project / "work" / "volatile" / "timing.json"
        if not file.is_file():
            return NONE
        return f"{float(json.loads(file.read_text())['fit_seconds']):.1f} s"

    def _detail(self, project: str) -> str:
        compared = self.compared[project]
        rows = [
            "| metric | now | before | difference | gate |",
            "| --- | ---: | ---: | ---: | --- |",
        ]
        asked = {each.metric: each for each in compared.now.gate.conditions}
        for each in compared.differences:
            gate = str(asked[each.metric]).partition(" ")[2] if each.metric in asked else ""
            mark = " (worse)" if each.worse else ""
            rows.append(
                f"| {each.metric}{mark} | {_number(each.now)} | {_number(each.before)} "
                f"| {_signed(each.by)} | {gate} |"
            )
        parts = [
            f"<details><summary>{_name(project)}: {compared.promotion()[1]}</summary>",
            "\n".join(rows),
            f"Inputs that changed: {_some(self.changes.reasons.get(project, ()), 12) or 'none'}.",
            " ".join(self._pictures(project)),
            "</details>",
        ]
        return "\n\n".join(part for part in parts if part)

    def _pictures(self, project: str) -> Iterator[str]:
        for file in sorted((self.root / project / "pictures").glob("*.png")):
            yield f"[{file.stem}]({self.link}{file.relative_to(self.root).as_posix()})"

    def _untouched(self) -> str:
        same = [
            _name(each)
            for each in self.changes.projects
            if each not in self.compared and each not in self.untrained and each not in self.lost
        ]
        return f"As before: {', '.join(same)}." if same else ""


def report(root: Path, since: str, *, link: str = "") -> Report:
    """Compare the working tree with the revision `since`.

    Raises:
        UnknownRevision: git knows no such commit here.
        UnreadableResults: a committed file is not what a run writes.
    """
    return Report(changes(root, since), root, link)


def _name(project: str) -> str:
    return project.rpartition("/")[2]


def _movement(each: Difference) -> str:
    if each.now is None:
        return f"{each.metric} is gone, {_number(each.before)} before"
    return (
        f"{each.metric} {_number(each.now)}, {_number(each.before)} before "
        f"({_signed(each.by)}; {each.condition} is asked for)"
    )


def _number(value: float | None) -> str:
    return NONE if value is None else f"{value:.6g}"


def _signed(value: float | None) -> str:
    return NONE if value is None else f"{value:+.6g}"


def _some(names: Sequence[str], most: int = 5) -> str:
    """The first of them, and how many more."""
    told = ", ".join(f"`{name}`" for name in names[:most])
    return told if len(names) <= most else f"{told} and {len(names) - most} more"
