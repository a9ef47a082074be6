"""The course: projects in the order in which a reader learns from them, easiest first.

A project takes part by a line below the title of its README, `Lesson 3: what it teaches.` Lessons
are counted by track. `slipway check --write` generates the page and the website's order from these.
"""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from slipway.project import Project, discover

PAGE = Path("docs") / "course.md"
ORDER = Path("services") / "predict" / "site" / "course.json"
TRACKS = {
    "ml": "Machine learning",
    "dl": "Deep learning",
    "cv": "Computer vision",
}
LINE = re.compile(r"^Lesson (\d+): (.+)$", re.MULTILINE)
HEAD = """# A course by projects

Each lesson is a project that you can train, serve and try, and builds on the ones before. Read its
README, train it with `dvc repro pipelines/TRACK/NAME/dvc.yaml`, look at its pictures, and try it at
`/try/NAME`. Then change one thing in `params.yaml` or `train.py`, and see what it does.

Written by `slipway check --write` from the READMEs.
"""


@dataclass(frozen=True)
class Lesson:
    """A project's place in the course of its track, and what it teaches."""

    project: Project
    number: int
    topic: str


def find_lesson(project: Project) -> Lesson | None:
    """Return the lesson that the project's README declares, None if it takes no part."""
    found = LINE.search((project.folder / "README.md").read_text())
    return Lesson(project, int(found[1]), found[2]) if found else None


def lessons(projects: Iterable[Project]) -> list[Lesson]:
    """Return the lessons of each track, easiest first."""
    found = (find_lesson(each) for each in projects)
    order = list(TRACKS)
    return sorted(
        filter(None, found),
        key=lambda each: (order.index(each.project.track), each.number, each.project.name),
    )


def content(projects: Iterable[Project]) -> dict[Path, str]:
    """Return the generated files by their paths in the repository."""
    found = lessons(projects)
    order = {each.project.name: each.number for each in found}
    return {PAGE: _page(found), ORDER: json.dumps(order, indent=1) + "\n"}


def generate_course(root: Path) -> list[Path]:
    """Write the files that are not up to date, and return them."""
    written = []
    for place, text in content(discover(root)).items():
        file = root / place
        if not file.is_file() or file.read_text() != text:
            file.write_text(text)
            written.append(file)
    return written


def course_shortfalls(root: Path) -> Iterator[str]:
    """Yield a line for each number that is missing or given twice, and each file not up to date."""
    for track, group in groupby(lessons(discover(root)), key=lambda each: each.project.track):
        numbers = [each.number for each in group]
        if numbers != list(range(1, len(numbers) + 1)):
            yield f"course: the lessons of {track} are not numbered from 1 on: {numbers}"
    for place, text in content(discover(root)).items():
        file = root / place
        if not file.is_file() or file.read_text() != text:
            yield f"{place} is not up to date: run `slipway check --write`"


def _page(found: list[Lesson]) -> str:
    parts = [HEAD]
    for track, group in groupby(found, key=lambda each: each.project.track):
        rows = ["| lesson | project | teaches | question |", "| ---: | --- | --- | --- |"]
        rows += [_row(each) for each in group]
        parts.append(f"\n## {TRACKS[track]}\n\n" + "\n".join(rows) + "\n")
    return "".join(parts)


def _row(lesson: Lesson) -> str:
    project = lesson.project
    link = f"[{project.name}](../pipelines/{project.track}/{project.name}/README.md)"
    question = project.card.partition("\n")[0]
    return f"| {lesson.number} | {link} | {lesson.topic} | {question} |"
