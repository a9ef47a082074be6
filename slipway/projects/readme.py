"""The block of a project's README that is generated from its last run, between two marks."""

import json
import mimetypes
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

from slipway.media.base64_text import decode_base64
from slipway.media.fields import media_fields
from slipway.project import Project
from slipway.registry import card
from slipway.training.workspace import Workspace

START, END = "<!-- results -->", "<!-- /results -->"
# Texts of a prediction that are longer are cut in the README: pictures in base64.
LONGEST_SHOWN = 500
# Lists with more items are cut after a few: curves, histograms, and the tracks of a whole video.
# A shorter limit holds where the one before leaves too many lines to read.
LIMITS, FEW_SHOWN = (100, 10, 3), 3
MOST_LINES = 120
# The page to try the project, taken by `python -m tests.screenshots`; no stage draws it.
TRY_PAGE = "try.png"
BLOCK = re.compile(re.escape(START) + ".*?" + re.escape(END), re.DOTALL)


def results(project: Project) -> str:
    """Generate the block from the committed metrics and examples.

    Raises:
        FileNotFoundError: the project has never run.
    """
    work = Workspace.for_project(project)
    found = json.loads(work.metrics.read_text())
    rows = found["rows"]
    files = (project.folder / "pictures").glob("*.png")
    drawn = (file.name for file in files if file.name != TRY_PAGE)
    pictures = sorted(name for name in drawn if not name.startswith("example_"))
    parts = [
        f"Trained on {rows['train']:,} rows and tested on {rows['test']:,} held-out rows.",
        card.gate_table(work, found["metrics"]),
        "Candidates, compared on validation data (the chosen one in bold):",
        card.candidates_table(work, found),
        "\n".join(f"![{name.removesuffix('.png')}](pictures/{name})" for name in pictures),
        _try_page(project),
        *_request(project),
        f"```json\n{_as_shown(example(project)['output'])}\n```",
    ]
    return f"{START}\n\n" + "\n\n".join(part for part in parts if part) + f"\n\n{END}"


def _try_page(project: Project) -> str:
    """Return the picture of the page to try the project; nothing if none was taken."""
    if not (project.folder / "pictures" / TRY_PAGE).is_file():
        return ""
    return f"The page `/try/{project.name}`:\n\n![The page to try it](pictures/{TRY_PAGE})"


def _request(project: Project) -> tuple[str, str]:
    """Return how to send a request; a project that `make up` does not train is trained first."""
    if project.params.starter:
        text, commands = "Send a request to the running model server (`make up`):", curl(project)
    else:
        text = "Train it, then send a request to the running model server (`make up`):"
        commands = f"dvc repro pipelines/{project.track}/{project.name}/dvc.yaml\n{curl(project)}"
    return text, f"```sh\n{commands}\n```"


def example(project: Project) -> dict[str, dict[str, object]]:
    """Return the first example with its prediction."""
    first: dict[str, dict[str, object]] = json.loads(
        Workspace.for_project(project).examples.read_text()
    )[0]
    return first


def curl(project: Project, port: int = 8000) -> str:
    """Return a command that sends the first example to the model server.

    Media are sent from the files that `write` keeps beside the pictures, the other fields as texts.
    """
    sent = {key: value for key, value in example(project)["input"].items() if value is not None}
    address = f"http://127.0.0.1:{port}/v1/models/{project.name}/predict"
    files = media_files(project)
    if not files:
        body = shlex.quote(json.dumps(sent, ensure_ascii=False))
        return f"curl -s {address} -H 'Content-Type: application/json' -d {body}"
    place = f"pipelines/{project.track}/{project.name}/pictures"
    fields = [f"{name}=@{place}/{file}" for name, (file, _) in files.items()]
    for name, value in sent.items():
        if name not in files:
            text = value if isinstance(value, str) else json.dumps(_given(value))
            fields.append(f"{name}={text}")
    return " ".join(["curl", "-s", address, *(f"-F {shlex.quote(each)}" for each in fields)])


def _given(value: Any) -> Any:
    """Return a value of JSON without the fields that are null, which a record does not need."""
    if isinstance(value, dict):
        return {name: _given(each) for name, each in value.items() if each is not None}
    return [_given(each) for each in value] if isinstance(value, list) else value


def media_files(project: Project) -> dict[str, tuple[str, bytes]]:
    """Return file name and content of each media field of the first example, by field."""
    kinds = media_fields(project.model().input_type())
    found = {}
    for name, value in example(project)["input"].items():
        if name in kinds and isinstance(value, str):
            content = decode_base64(value, len(value))
            found[name] = (f"example_{name}{_suffix(kinds[name].media_type_of(content))}", content)
    return found


def _suffix(media_type: str) -> str:
    return ".wav" if media_type == "audio/wav" else mimetypes.guess_extension(media_type) or ".bin"


def _as_shown(prediction: object) -> str:
    """Return a prediction as JSON, with lists cut shorter if it would have too many lines."""
    for limit in LIMITS:
        text = json.dumps(_shown(prediction, limit), indent=2)
        if text.count("\n") < MOST_LINES:
            break
    return text


def _shown(value: object, limit: int) -> object:
    """Return a prediction with texts and lists that are long, such as pictures, cut short."""
    if isinstance(value, dict):
        return {name: _shown(each, limit) for name, each in value.items()}
    if isinstance(value, list):
        if len(value) <= limit:
            return [_shown(each, limit) for each in value]
        few = [_shown(each, limit) for each in value[:FEW_SHOWN]]
        return [*few, f"... ({len(value):,} items)"]
    if isinstance(value, str) and len(value) > LONGEST_SHOWN:
        return f"{value[:40]}... ({len(value):,} characters)"
    return value


def write(project: Project) -> None:
    """Copy the report's plots next to the README, and write the block into it.

    Raises:
        ValueError: the README has no marks.
    """
    report, pictures = Workspace.for_project(project).report, project.folder / "pictures"
    if report.is_dir():
        page = (pictures / TRY_PAGE).read_bytes() if (pictures / TRY_PAGE).is_file() else None
        shutil.rmtree(pictures, ignore_errors=True)
        shutil.copytree(report, pictures)
        if page:
            (pictures / TRY_PAGE).write_bytes(page)
    for name, content in media_files(project).values():
        pictures.mkdir(exist_ok=True)
        (pictures / name).write_bytes(content)
    put(project.folder / "README.md", results(project))


def put(file: Path, block: str) -> None:
    """Replace the block in `file`, including its marks.

    Raises:
        ValueError: the file has no marks.
    """
    text = file.read_text()
    if not BLOCK.search(text):
        raise ValueError(f"{file} lacks the marks for results: add {START} and {END}")
    file.write_text(BLOCK.sub(lambda _: block, text))
