"""Checks of a project folder: `slipway check` prints one line per failure."""

import ast
import io
import json
import re
import sys
import tokenize
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from slipway.contract.groups import group_names, serving_group
from slipway.datasets import catalogue
from slipway.dependencies import pins
from slipway.dependencies.dvcfile import differences, dvc_yaml
from slipway.dependencies.served_code import served_code
from slipway.dependencies.stages import UnseenInput, stage_inputs
from slipway.project import NAME, Project
from slipway.projects import readme
from slipway.projects.scaffold import TRACKS
from slipway.quality.primary import BASELINE, PrimaryMetric
from slipway.stages.full_profile import has_full_profile, read_full_profile

FILES = ("README.md", "data.py", "dvc.yaml", "model.py", "params.yaml", "report.py", "train.py")
CARD = ("Data", "Task", "Model", "Limits")
# Modules in every serving image: a model.py and its siblings may import nothing else, except what
# the groups in `requires` add.
SERVING = (
    *("slipway.contract", "slipway.media", "slipway.statistics"),
    *("slipway.kits.centered", "slipway.kits.classes", "slipway.kits.drawings"),
    *("slipway.kits.images", "slipway.kits.photo_classifier"),
    *("slipway.kits.detection.decode", "slipway.kits.detection.record"),
    *("slipway.kits.segmentation.record", "slipway.kits.generative.record"),
    *("slipway.kits.sequence.steps", "slipway.kits.text.vocabulary"),
    "slipway.kits.tabular.features",
    *("slipway.kits.tracking.assignment", "slipway.kits.tracking.camera"),
    "slipway.kits.tracking.regions",
    *("slipway.kits.tracking.state", "slipway.kits.tracking.tracker"),
    *("numpy", "pydantic", "onnxruntime", "PIL"),
)

# Differences of a generated file that a failure names.
SHOWN = 4

Check = Callable[[Project], Iterator[str]]


def repository_shortfalls(top: Path) -> list[str]:
    """Return one line per failed check of the repository itself."""
    file = top / pins.FILE
    if lacking := pins.missing(top):
        return [f"the environment lacks {', '.join(lacking)}: run `make env`"]
    if not file.is_file() or file.read_text() != pins.render(pins.pins(top)):
        return [f"{pins.FILE} is not up to date with the locks: run `slipway check --write`"]
    return []


def shortfalls(project: Project) -> list[str]:
    """Return one line per failed check. Exempting a check that passes is a failure, too."""
    place = f"{project.track}/{project.name}"
    missing = [name for name in FILES if not (project.folder / name).is_file()]
    if missing:
        return [f"{place}: files: no {name}" for name in missing]
    try:
        exempt = project.params.exempt
    except ValueError as error:
        return [f"{place}: params: {error}"]
    lines = [
        f"{place}: exempt: no check is called {name!r}" for name in exempt if name not in CHECKS
    ]
    for name, check in CHECKS.items():
        failures = [f"{place}: {name}: {line}" for line in check(project)]
        if name not in exempt:
            lines += failures
        elif not failures:
            lines.append(f"{place}: exempt: {name} passes: remove its exemption")
    return lines


def _names(project: Project) -> Iterator[str]:
    """Check that the track is known and the name is valid and unique."""
    if project.track not in TRACKS:
        yield f"track must be one of {', '.join(TRACKS)}, got {project.track}"
    if not re.match(NAME, project.name):
        yield f"name must be snake_case, got {project.name}"
    if len(list(project.folder.parents[1].glob(f"*/{project.name}/params.yaml"))) > 1:
        yield "another track has a project of the same name"


def _card(project: Project) -> Iterator[str]:
    """Check that the docstring of `model.py` has the parts of a model card."""
    text = project.card
    if not text.partition("\n")[0].endswith("?"):
        yield "the first line of model.py's docstring must be the question that the model answers"
    for word in CARD:
        if not re.search(rf"^{word}: \S", text, re.MULTILINE):
            yield f'model.py\'s docstring has no line "{word}: ..."'


def imports(file: Path) -> Iterator[tuple[int, str]]:
    """Yield line and dotted name of every import; relative imports begin with a dot."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, each.name) for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.lineno, "." * node.level + (node.module or "")


def _imports(project: Project) -> Iterator[str]:
    """Check that what is served imports serving packages only, and no project imports another."""
    for file in (project.folder / "model.py", *served_code(project).siblings):
        for line, name in imports(file):
            if not _is_served(name, project.params.requires):
                yield f"{file.name} line {line} imports {name}; serving lacks it{_group_of(name)}"
    own = f"pipelines.{project.track}.{project.name}"
    for file in project.folder.glob("*.py"):
        for line, name in imports(file):
            foreign = name.startswith("pipelines.") and not name.startswith(own)
            if foreign or name.startswith(("services", "..")):
                yield f"{file.name} line {line} imports {name}: projects must be independent"


def _is_served(name: str, groups: Sequence[str]) -> bool:
    """Return whether a server has the module; siblings, which are shipped, are checked as files."""
    if name.startswith(".") or name.partition(".")[0] in sys.stdlib_module_names:
        return True
    served = (*SERVING, *(each for group in groups for each in serving_group(group).modules))
    return any(name == each or name.startswith(f"{each}.") for each in served)


def _group_of(name: str) -> str:
    """Return a hint at the groups that have the module."""
    top = name.partition(".")[0]
    groups = [group for group in group_names() if top in serving_group(group).modules]
    return f" without requires: [{' or '.join(groups)}] in params.yaml" if groups else ""


def _declared(project: Project) -> Iterator[str]:
    """Check that the fields that the model declares exist."""
    model = project.model()
    inputs, outputs = model.input_type().model_fields, model.output_type().model_fields
    for name in model.protected:
        if name not in inputs:
            yield f"protected: the record has no field {name}"
    if model.explained is not None and model.explained not in outputs:
        yield f"explained: the prediction has no field {model.explained}"


def _feedback(project: Project) -> Iterator[str]:
    """Check that labels from feedback can be scored and trained on."""
    from slipway.training.labelled import Label, Unsuitable

    try:
        Label.from_types(project.model(), project.module("data"), None)
    except Unsuitable as error:
        yield str(error)


def _dvc(project: Project) -> Iterator[str]:
    """Check that `dvc.yaml` is up to date with the imports."""
    try:
        wanted = dvc_yaml(project)
    except UnseenInput as error:
        yield str(error)
        return
    found = (project.folder / "dvc.yaml").read_text()
    if found != wanted:
        lines = differences(found, wanted)
        more = f" and {len(lines) - SHOWN} more" if len(lines) > SHOWN else ""
        yield (
            "dvc.yaml is not up to date with the imports: run `slipway check --write` "
            f"({'; '.join(lines[:SHOWN])}{more})"
        )


def _fit_alone(project: Project) -> Iterator[str]:
    """Check that `fit` imports no reporting, so that a changed plot retrains no model."""
    for name in stage_inputs(project, "fit").shared:
        if name.startswith("slipway/reporting/"):
            yield f"fit imports {name}: move scoring and drawing to report.py"
    if "report.py" in stage_inputs(project, "fit").own:
        yield "fit imports report.py: only evaluate may import it"


def _dataset(project: Project) -> Iterator[str]:
    """Check that the catalogue has the data set."""
    try:
        catalogue.entry(project.params.dataset)
    except (KeyError, ValueError) as error:
        yield str(error.args[0])


def _gate(project: Project) -> Iterator[str]:
    """Check that the gate has conditions on the primary metric and on parity."""
    named = {condition.metric for condition in project.params.gate.conditions}
    measured = project.params.parity.kind != "none"
    for metric in (
        project.params.primary,
        *(("parity_error", "parity_agreement") if measured else ()),
    ):
        if metric not in named:
            yield f"the gate has no condition on {metric}"


def _reasons(project: Project) -> Iterator[str]:
    """Check that a comment gives the reason of each bound of the gate, but for parity's.

    A comment also holds for the conditions below it, up to the next comment.
    """
    reason = False
    for line in gate_lines((project.folder / "params.yaml").read_text()):
        if line.startswith("#"):
            reason = True
        elif not reason and not line.startswith("parity_"):
            yield f"no comment says why the gate is {line}"


def gate_lines(text: str) -> Iterator[str]:
    """Yield the lines below `gate:` of a parameters file, without indentation."""
    inside = False
    for line in text.splitlines():
        if inside and line[:1] not in ("", " ", "#"):
            return
        if inside and line.strip():
            yield line.strip()
        inside = inside or line.rstrip() == "gate:"


def _full(project: Project) -> Iterator[str]:
    """Check that the full profile changes only parameters that exist."""
    try:
        if has_full_profile(project):
            read_full_profile(project)
    except ValueError as error:
        yield str(error)


def _metrics(project: Project) -> Iterator[str]:
    """Check that the committed results pass the gate."""
    file = project.folder / "metrics.json"
    if not file.is_file():
        yield "no metrics.json: run dvc repro and commit it"
        return
    found, params = json.loads(file.read_text()), project.params
    yield from (f"gate not met: {short}" for short in params.gate.shortfalls(found["metrics"]))


def _better(project: Project) -> Iterator[str]:
    """Check that the primary metric is better than the baseline's, on test rows if it is known."""
    primary = _primary(project)
    if primary is None or primary.value is None:
        return
    # On other rows the baseline may be better or worse by chance.
    baseline = primary.baseline_validation if primary.baseline is None else primary.baseline
    condition = project.params.gate.condition(primary.name)
    if baseline is not None and not condition.better(primary.value, baseline):
        yield f"{primary.name} {primary.value:.4g} is not better than the baseline's {baseline:.4g}"


def _test_baseline(project: Project) -> Iterator[str]:
    """Check that the baseline was scored on the test rows, too."""
    primary = _primary(project)
    if not primary:
        yield "no metrics.json"
    elif primary.baseline is None:
        yield f"metrics.json has no {BASELINE}_{primary.name}: score the baseline on the test rows"


def _interval(project: Project) -> Iterator[str]:
    """Check that the primary metric has an interval that holds it."""
    primary = _primary(project)
    if not primary:
        return
    if primary.interval is None:
        yield (
            f"metrics.json has no {primary.name}_low and {primary.name}_high: "
            "estimate the interval of the primary metric"
        )
    elif primary.value is None or not primary.interval[0] <= primary.value <= primary.interval[1]:
        low, high = primary.interval
        yield f"{primary.name} {primary.value} is outside its interval {low:.4g} to {high:.4g}"


def _primary(project: Project) -> PrimaryMetric | None:
    """Return the primary metric of the last run; None before the first."""
    file = project.folder / "metrics.json"
    if not file.is_file():
        return None
    return PrimaryMetric.from_results(json.loads(file.read_text()), project.params.primary)


def _readme(project: Project) -> Iterator[str]:
    """Check that the README shows the committed results."""
    text = (project.folder / "README.md").read_text()
    block = readme.BLOCK.search(text)
    if not block:
        yield f"README.md lacks the marks for results: {readme.START} and {readme.END}"
    elif (project.folder / "metrics.json").is_file() and block[0] != readme.results(project):
        yield "README.md does not show the committed results: run `slipway readme`"


def _size(project: Project) -> Iterator[str]:
    """Check that no file to be committed is large."""
    for file in project.folder.rglob("*"):
        inside = file.relative_to(project.folder).parts[0]
        if (
            inside not in ("work", "__pycache__")
            and file.is_file()
            and file.stat().st_size > 200_000
        ):
            yield f"{file.relative_to(project.folder)} is over 200 kB"


# More is too much to read in one sitting.
MOST_LINES = 300
LAYOUT = {
    *(tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE),
    *(tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER),
}


def _lines(project: Project) -> Iterator[str]:
    """Check that no Python file is too long."""
    for file in sorted(project.folder.glob("*.py")):
        if (count := _code(file.read_text())) > MOST_LINES:
            yield f"{file.name} has {count} lines of code, over {MOST_LINES}: split it"


def _code(text: str) -> int:
    """Count the lines of code, without imports, docstrings, comments and blank lines."""
    code = {
        line
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
        if token.type not in LAYOUT
        for line in range(token.start[0], token.end[0] + 1)
    }
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import | ast.ImportFrom) or (
            isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        ):
            code -= {*range(node.lineno, (node.end_lineno or node.lineno) + 1)}
    return len(code)


CHECKS: dict[str, Check] = {
    "names": _names,
    "card": _card,
    "imports": _imports,
    "declared": _declared,
    "feedback": _feedback,
    "dvc": _dvc,
    "fit": _fit_alone,
    "dataset": _dataset,
    "gate": _gate,
    "reasons": _reasons,
    "full": _full,
    "metrics": _metrics,
    "better": _better,
    "test_baseline": _test_baseline,
    "interval": _interval,
    "readme": _readme,
    "size": _size,
    "lines": _lines,
}
