"""The part of a project's README that is written from its last run, between two marks."""

import json
import re
import shlex
import shutil
from pathlib import Path

from slipway.project import Project
from slipway.registry import card
from slipway.training.workspace import Workspace

START, END = "<!-- results -->", "<!-- /results -->"
BLOCK = re.compile(re.escape(START) + ".*?" + re.escape(END), re.DOTALL)


def results(project: Project) -> str:
    """The block as the committed metrics and examples make it.

    Raises:
        FileNotFoundError: the project was never run.
    """
    work = Workspace.of(project)
    found = json.loads(work.metrics.read_text())
    rows = found["rows"]
    pictures = sorted(file.name for file in (project.folder / "pictures").glob("*.png"))
    parts = [
        f"Trained on {rows['train']:,} rows, tested on {rows['test']:,} that training never saw.",
        card.gate_table(work, found["metrics"]),
        "What was compared, on validation data (the chosen one in bold):",
        card.candidates_table(work, found),
        "\n".join(f"![{name.removesuffix('.png')}](pictures/{name})" for name in pictures),
        *_asking(project),
        f"```json\n{json.dumps(example(project)['output'], indent=2)}\n```",
    ]
    return f"{START}\n\n" + "\n\n".join(part for part in parts if part) + f"\n\n{END}"


def _asking(project: Project) -> tuple[str, str]:
    """`make up` trains the starters alone."""
    if project.params.starter:
        told, commands = "Ask it, with the model server up (`make up`):", curl(project)
    else:
        told = "Train it, and ask it, with the model server up (`make up`):"
        commands = f"dvc repro pipelines/{project.track}/{project.name}/dvc.yaml\n{curl(project)}"
    return told, f"```sh\n{commands}\n```"


def example(project: Project) -> dict[str, dict[str, object]]:
    """The first example with its answer."""
    first: dict[str, dict[str, object]] = json.loads(Workspace.of(project).examples.read_text())[0]
    return first


def curl(project: Project, port: int = 8000) -> str:
    """A command that sends the first example to the model server."""
    sent = {key: value for key, value in example(project)["input"].items() if value is not None}
    body = shlex.quote(json.dumps(sent, ensure_ascii=False))
    address = f"http://127.0.0.1:{port}/v1/models/{project.name}/predict"
    return f"curl -s {address} -H 'Content-Type: application/json' -d {body}"


def write(project: Project) -> None:
    """Copy the report's pictures beside the README, and write the block into it.

    Raises:
        ValueError: the README has no marks.
    """
    report, pictures = Workspace.of(project).report, project.folder / "pictures"
    if report.is_dir():
        shutil.rmtree(pictures, ignore_errors=True)
        shutil.copytree(report, pictures)
    put(project.folder / "README.md", results(project))


def put(file: Path, block: str) -> None:
    """Write the block, marks included, in place of the one that the file holds.

    Raises:
        ValueError: it has no marks.
    """
    text = file.read_text()
    if not BLOCK.search(text):
        raise ValueError(f"{file} has no place for results: add {START} and {END}")
    file.write_text(BLOCK.sub(lambda _: block, text))
