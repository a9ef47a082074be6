"""No word of the "do not use" lists in docs/glossary.md comes back in code, docs or READMEs.

Docstrings begin with what the thing does or is, not with a question word.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache

from tests.conftest import ROOT, files_of_checkout

PAGE = "docs/glossary.md"
KINDS = (".py", ".md", ".yaml", ".yml", ".sh", ".cfg", ".toml", ".html", ".lua", ".ini")
NAMES = ("Makefile", "Dockerfile", ".ci/run")
# Written by programs from other sources: figures, package names and the like.
GENERATED = (
    "*/dvc.lock",
    "infra/environment/locks/*",
    "k8s/components/prometheus-operator/rules.yaml",
)
ROOMS = ("slipway/", "services/", "infra/", "benchmarks/", "tests/")
QUESTION = re.compile(r"(Of|What|Whether|Why|How|Who|Which|Where|Does|Is)\b")
SECTION = re.compile(r"Raises \w+:|(Args|Raises|Returns|Yields):")
QUOTED = re.compile(r"`([^`]+)`")


@dataclass(frozen=True)
class Exemption:
    word: str
    files: str
    text: str
    reason: str

    def covers(self, word: str, file: str, line: str) -> bool:
        return word == self.word and fnmatchcase(file, self.files) and self.text in line


def rows(page: str, heading: str) -> list[list[str]]:
    """Return the cells of the tables whose header row begins with `heading`."""
    found, inside = [], False
    for line in page.splitlines():
        cells = [cell.strip() for cell in line.strip()[1:-1].split("|")]
        if not line.startswith("|"):
            inside = False
        elif cells[0] == heading:
            inside = True
        elif inside and not line.startswith("| ---"):
            found.append(cells)
    return found


def forbidden(page: str) -> list[str]:
    """Return the words of the "do not use" columns."""
    return [word for row in rows(page, "term") for word in QUOTED.findall(row[-1])]


def exemptions(page: str) -> list[Exemption]:
    """Return the exemptions; the text may be empty."""
    cells = [[cell.replace("`", "") for cell in row] for row in rows(page, "word")]
    return [Exemption(word, files, text, reason) for word, files, text, reason in cells]


def pattern(word: str) -> re.Pattern[str]:
    """Match the word between non-letters, so that `is_told` counts and `untold` does not.

    A word with a capital letter is a name in code, and matches only with its capitals.
    """
    flags = re.NOFLAG if word != word.lower() else re.IGNORECASE
    return re.compile(rf"(?<![A-Za-z]){re.escape(word)}(?![A-Za-z])", flags)


@cache
def lines_by_file() -> dict[str, list[str]]:
    return {
        file: (ROOT / file).read_text(errors="replace").splitlines()
        for file in files_of_checkout()
        if (file.endswith(KINDS) or file.endswith(NAMES))
        and file not in (PAGE, "tests/test_glossary.py")
        and not any(fnmatchcase(file, each) for each in GENERATED)
    }


def hits(page: str) -> list[tuple[str, str, int, str]]:
    """Return word, file, line number and line of each use of a forbidden word."""
    patterns = {word: pattern(word) for word in forbidden(page)}
    return [
        (word, file, number, line.strip())
        for file, lines in lines_by_file().items()
        for number, line in enumerate(lines, 1)
        for word, each in patterns.items()
        if each.search(line)
    ]


def test_no_forbidden_word_comes_back() -> None:
    page = (ROOT / PAGE).read_text()
    exempt = exemptions(page)
    left = [
        f"{file}:{number}: {word}: {line[:80]}"
        for word, file, number, line in hits(page)
        if not any(each.covers(word, file, line) for each in exempt)
    ]
    assert not left, "\n".join(left)


def test_every_exemption_is_needed_and_has_a_reason() -> None:
    page = (ROOT / PAGE).read_text()
    found = hits(page)
    for each in exemptions(page):
        assert each.reason, each
        assert each.word in forbidden(page), each
        assert any(each.covers(word, file, line) for word, file, _, line in found), each


def test_each_term_stands_once() -> None:
    terms = [row[0] for row in rows((ROOT / PAGE).read_text(), "term")]
    assert len(terms) > 40
    assert len(terms) == len(set(terms))


def test_the_tables_are_parsed() -> None:
    page = """
| term | meaning | do not use |
| --- | --- | --- |
| label | a `y_true` | `truths`, `what was` |
| gate | conditions | |

| word | files | text | reason |
| --- | --- | --- | --- |
| `truths` | `k8s/*` | | a name |
"""
    assert forbidden(page) == ["truths", "what was"]
    assert exemptions(page) == [Exemption("truths", "k8s/*", "", "a name")]


def test_words_are_matched_as_a_whole() -> None:
    assert pattern("told").search("test_it_is_told()")
    assert pattern("told").search("Told by")
    assert not pattern("told").search("untold or toldo")
    assert pattern("Fleet").search("class Fleet:")
    assert not pattern("Fleet").search("a fleet of ships")


def docstrings(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield line and text of the docstrings of modules, classes, functions and attributes."""
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if not isinstance(body, list):
            continue
        documented = isinstance(
            node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
        )
        for before, each in zip((None, *body), body, strict=False):
            text = each.value.value if _is_constant(each) else None
            after_name = isinstance(before, (ast.Assign, ast.AnnAssign))
            if isinstance(text, str) and (after_name or (before is None and documented)):
                yield each.lineno, text.strip()


def _is_constant(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def unclear(text: str) -> bool:
    """Return whether the docstring asks, or begins with a section that has no line before it."""
    return bool(QUESTION.match(text) or SECTION.match(text))


def test_docstrings_say_what_a_thing_does_or_is() -> None:
    found = [
        f"{file}:{line}: {text.splitlines()[0]}"
        for file in files_of_checkout()
        if file.startswith(ROOMS) and file.endswith(".py")
        for line, text in docstrings(ast.parse((ROOT / file).read_text()))
        # A model card begins with the question that the model answers.
        if unclear(text) and not (file.endswith("/model.py") and text.splitlines()[0].endswith("?"))
    ]
    assert not found, "\n".join(found)


def test_docstrings_of_every_kind_are_found() -> None:
    source = '''
"""Of a module."""

NAME = 1
"""Whether it is an attribute."""


class Thing:
    """Raises ValueError: always."""

    size: int
    """How large it is."""

    def act(self) -> None:
        """
        Args:
            nothing: comes before.
        """
        "no docstring"
'''
    texts = [text for _, text in docstrings(ast.parse(source))]
    assert len(texts) == 5
    assert all(unclear(text) for text in texts)
    assert not unclear("Return whether it is.")
    assert not unclear("Isolate a model.")
