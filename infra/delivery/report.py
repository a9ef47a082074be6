"""Report a change's effect on the models, as Markdown for the comment on a pull request.

All data comes from files in git, at two revisions. Every metric that became worse stands at the
top, even if another one became better.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from infra.delivery import outcome
from infra.delivery.affected import Changes, changes
from infra.delivery.comparison import MetricChange, ProjectComparison

HEAD = (
    "| project | metric | now | before | difference | gate | baseline | test rows "
    "| parity error | training | would be promoted |"
)
RULE = "| --- | --- | ---: | ---: | ---: | --- | ---: | ---: | ---: | ---: | --- |"
DETAIL = ("| metric | now | before | difference | gate |", "| --- | ---: | ---: | ---: | --- |")
# A table cell without a number.
NONE = "-"
VERDICTS = {True: "yes", False: "**no**", None: "registration decides"}


@dataclass(frozen=True)
class DeliveryReport:
    changes: Changes
    root: Path
    link: str = ""
    """URL prefix of pictures: the address of the repository's files, or empty."""

    @cached_property
    def compared(self) -> dict[str, ProjectComparison]:
        """Return the projects whose metrics, gate or model changed, by folder."""
        read = outcome.in_tree(self.root)
        found = {}
        for project in self.changes.projects:
            now = outcome.at(read, project)
            before = outcome.at(self.changes.since.text, project)
            if now is not None and now != before:
                found[project] = ProjectComparison(before, now)
        return found

    @cached_property
    def lost(self) -> list[str]:
        """Return the projects that had results and have none now."""
        read = outcome.in_tree(self.root)
        return [
            project
            for project in self.changes.projects
            if outcome.at(read, project) is None
            and outcome.at(self.changes.since.text, project) is not None
        ]

    @property
    def untrained(self) -> Mapping[str, Sequence[str]]:
        """Return the inputs that differ from those of the committed results, by project."""
        return self.changes.unmet

    def faults(self) -> list[str]:
        """Return what prevents merging the change, a sentence each."""
        lines = [f"{_name(each)} has lost its results" for each in self.lost]
        lines += [
            f"{_name(each)} was not trained with this change ({_some(why)})"
            for each, why in self.untrained.items()
        ]
        for project, compared in self.compared.items():
            promoted, why = compared.promotion()
            lines += [f"{_name(project)}: {why}"] if promoted is False else []
        return lines

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
            f"Compared with `{self.changes.since.commit[:12]}`: {touched} of {every} projects have "
            f"changed inputs, {len(self.compared)} have changed results, {len(self.untrained)} "
            f"have yet "
            "to be trained."
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
            yield "**Gate relaxed:**\n\n" + "\n".join(lines)
        if faults := self.faults():
            yield "**Prevents merging:**\n\n" + "\n".join(f"- {each}" for each in faults)
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
        """Return the seconds of the last fit on this machine; a clone does not have them."""
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
        conditions = {each.metric: each for each in compared.now.gate.conditions}
        for each in compared.differences:
            gate = (
                str(conditions[each.metric]).partition(" ")[2] if each.metric in conditions else ""
            )
            mark = " (worse)" if each.worse else ""
            rows.append(
                f"| {each.metric}{mark} | {_number(each.now)} | {_number(each.before)} "
                f"| {_signed(each.by)} | {gate} |"
            )
        parts = [
            f"<details><summary>{_name(project)}: {compared.promotion()[1]}</summary>",
            "\n".join(rows),
            f"Changed inputs: {_some(self.changes.reasons.get(project, ()), 12) or 'none'}.",
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
        return f"Unchanged: {', '.join(same)}." if same else ""


def report(root: Path, since: str, *, link: str = "") -> DeliveryReport:
    """Compare the working tree with the revision `since`.

    Raises:
        UnknownRevision: git finds no such commit.
        UnreadableResults: a committed file does not have the format that a run writes.
    """
    return DeliveryReport(changes(root, since), root, link)


def _name(project: str) -> str:
    return project.rpartition("/")[2]


def _movement(each: MetricChange) -> str:
    if each.now is None:
        return f"{each.metric} is gone, {_number(each.before)} before"
    return (
        f"{each.metric} {_number(each.now)}, {_number(each.before)} before "
        f"({_signed(each.by)}; the gate requires {each.condition})"
    )


def _number(value: float | None) -> str:
    return NONE if value is None else f"{value:.6g}"


def _signed(value: float | None) -> str:
    return NONE if value is None else f"{value:+.6g}"


def _some(names: Sequence[str], most: int = 5) -> str:
    """Return the first names, and the number of the others."""
    text = ", ".join(f"`{name}`" for name in names[:most])
    return text if len(names) <= most else f"{text} and {len(names) - most} more"
