"""The course: numbers of lessons, the generated page, and the order of the website."""

import json
from pathlib import Path

import pytest

from slipway.project import Project, discover
from slipway.projects.course import (
    ORDER,
    PAGE,
    content,
    course_shortfalls,
    find_lesson,
    generate_course,
    lessons,
)
from tests.conftest import ROOT


def add(root: Path, track: str, name: str, lesson: str) -> None:
    folder = root / "pipelines" / track / name
    folder.mkdir(parents=True)
    (folder / "params.yaml").write_text("dataset: iris\n")
    (folder / "model.py").write_text(f'"""What is {name}?\n\nData: none.\n"""\n')
    (folder / "README.md").write_text(f"# {name}\n\n{lesson}\n\nA sentence.\n")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for folder in (PAGE.parent, ORDER.parent):
        (tmp_path / folder).mkdir(parents=True)
    add(tmp_path, "dl", "zeta", "Lesson 1: gradients.")
    add(tmp_path, "dl", "alpha", "Lesson 2: convolutions.")
    add(tmp_path, "cv", "edges", "Lesson 1: edges.")
    add(tmp_path, "ml", "trees", "Lessons are learned elsewhere.")
    return tmp_path


def test_lessons_are_in_their_order_and_others_take_no_part(root: Path) -> None:
    found = [(each.project.name, each.number, each.topic) for each in lessons(discover(root))]
    assert found == [
        ("zeta", 1, "gradients."),
        ("alpha", 2, "convolutions."),
        ("edges", 1, "edges."),
    ]
    assert find_lesson(Project(root / "pipelines" / "ml" / "trees")) is None


def test_the_files_are_written_once_and_then_up_to_date(root: Path) -> None:
    assert any("check --write" in line for line in course_shortfalls(root))
    assert generate_course(root) == [root / PAGE, root / ORDER]
    assert generate_course(root) == []
    assert list(course_shortfalls(root)) == []
    assert json.loads((root / ORDER).read_text()) == {"zeta": 1, "alpha": 2, "edges": 1}
    page = (root / PAGE).read_text()
    assert page.index("zeta") < page.index("alpha") < page.index("edges")
    assert "What is alpha?" in page
    assert "trees" not in page


@pytest.mark.parametrize("number", [1, 4])
def test_a_number_given_twice_or_left_out_is_named(root: Path, number: int) -> None:
    add(root, "dl", "beta", f"Lesson {number}: attention.")
    generate_course(root)
    [line] = course_shortfalls(root)
    assert line.startswith("course: the lessons of dl are not numbered from 1 on")
    assert str(number) in line


def test_the_committed_course_links_to_projects_that_exist() -> None:
    for place, text in content(discover()).items():
        assert (ROOT / place).read_text() == text
    for lesson in lessons(discover()):
        assert (lesson.project.folder / "README.md").is_file()
