"""The stage `register`: log the run, check the gate, add a version and decide on its promotion."""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from slipway import paths
from slipway.contract import Model, StreamingModel, serving, shared_code
from slipway.contract.gate import GateNotMet
from slipway.contract.groups import serving_group
from slipway.contract.modules import ENTRY
from slipway.contract.serving import Serving, carries_media
from slipway.contract.shipped import REFERENCE
from slipway.contract.text_fields import text_fields
from slipway.datasets import catalogue
from slipway.dependencies.served_code import ServedCode, served_code
from slipway.registry import card, promotions, reference, tracking
from slipway.registry.digest import digest
from slipway.registry.promotion import judge
from slipway.registry.reference import bounded
from slipway.training import candidates
from slipway.training.splits import read_split
from slipway.training.workspace import Workspace, write_json

if TYPE_CHECKING:
    from mlflow import MlflowClient

# Packages that a registered model.py may import, and that MLflow's own tools need to serve it.
SERVED_WITH = ("mlflow-skinny", "numpy", "onnxruntime", "pandas", "pillow", "pydantic")

PROMOTE, LINEAGE = "SLIPWAY_PROMOTE", "SLIPWAY_LINEAGE"
_LINEAGE = TypeAdapter(dict[Annotated[str, Field(pattern="^[a-z][a-z0-9_]*$")], str])

# Explanations average over these rows: more rows cost more and reduce the error by the root.
REFERENCE_ROWS = 100
# Of long records there are fewer: they are read whenever a model is loaded.
REFERENCE_BYTES = 1_000_000


def register(work: Workspace) -> None:
    """Register the outputs of `fit` and `evaluate`; registering them twice changes nothing.

    Raises:
        GateNotMet: the run is logged, but no version is created.
    """
    project, metrics = work.project, json.loads(work.metrics.read_text())["metrics"]
    with tempfile.TemporaryDirectory(prefix="slipway-") as scratch, tracking.writing():
        staged = stage(work, Path(scratch))
        shipped = digest(staged.parts)
        registry = tracking.client()
        version = tracking.version_with(registry, project.name, shipped)
        if version is None:
            run = _log_run(registry, work, staged.about, metrics)
            try:
                work.params.gate.check(metrics)
            except GateNotMet:
                registry.set_tag(run, "gate", "not met")
                raise
            registry.set_tag(run, "gate", "met")
            version = _add_version(registry, work, run, staged, shipped)
        reference.log(registry, work, version)
        if promotes_by_rule():
            _promote(registry, work, str(version.version), metrics[work.params.primary], shipped)
        else:
            print(f"{project.name}: v{version.version} is registered, not promoted", flush=True)
    write_json(work.receipt, {"project": project.name, "digest": shipped, "metrics": metrics})


def promotes_by_rule() -> bool:
    """Return whether a better candidate becomes champion immediately.

    With SLIPWAY_PROMOTE=rule (the default) it does. With `never` it waits for a rollout, which
    tests it under live traffic first.

    Raises:
        ValueError: SLIPWAY_PROMOTE is neither `rule` nor `never`.
    """
    mode = os.environ.get(PROMOTE) or "rule"
    if mode not in ("rule", "never"):
        raise ValueError(f"{PROMOTE} must be rule or never, got {mode!r}")
    return mode == "rule"


@dataclass(frozen=True)
class Staged:
    """The files of a version before it is registered."""

    entry: Path
    """The script that MLflow runs."""
    weights: Path
    about: Path
    packages: Path | None
    """The folder with the package that the entry publishes, if `model.py` has siblings."""

    @property
    def parts(self) -> list[Path]:
        """The same files as `Shipped.parts`, in the same order."""
        return [each for each in (self.entry, self.weights, self.about, self.packages) if each]


def stage(work: Workspace, folder: Path) -> Staged:
    """Lay out in the empty `folder` what a version of this run ships besides its weights.

    A project whose `model.py` imports siblings ships a package of them. Its name is unique to the
    version, because MLflow puts the packages of all loaded models on one path.
    """
    code = served_code(work.project, paths.root())
    about, model = folder / "about", work.project.folder / "model.py"
    _write_about(work, about, code)
    if not code.siblings:
        return Staged(model, work.weights, about, None)
    files = [model, *code.siblings]
    package = f"{work.project.name}_{digest([*files, work.weights, about])[:12]}"
    place = folder / "code" / package
    place.mkdir(parents=True)
    for file in files:
        shutil.copyfile(file, place / file.name)
    entry = folder / "model.py"
    entry.write_text(ENTRY.format(package=package))
    return Staged(entry, work.weights, about, place.parent)


def _write_about(work: Workspace, folder: Path, code: ServedCode) -> None:
    """Write what ships about the version: card, metrics, examples, and what serving must know."""
    folder.mkdir()
    (folder / "card.md").write_text(card.render(work))
    shutil.copy(work.metrics, folder / "metrics.json")
    shutil.copy(work.examples, folder / "examples.json")
    (folder / serving.FILE).write_text(_serving(work).model_dump_json(indent=1) + "\n")
    shared_code.write(folder, code.shared, paths.root())
    model = work.project.model()
    record = model.input_type()
    # A picture is compared with a blurred copy of itself, a text with itself without some words.
    if model.explained and not carries_media(record) and not text_fields(record):
        rows = read_split(work, "train").records
        spread = rows[:: max(1, len(rows) // REFERENCE_ROWS)][:REFERENCE_ROWS]
        lines = bounded([f"{row.model_dump_json()}\n" for row in spread], REFERENCE_BYTES)
        (folder / REFERENCE).write_text("".join(lines))


def _serving(work: Workspace) -> Serving:
    params, model = work.params, work.project.model()
    types = [model.input_type(), model.output_type()]
    if isinstance(model, StreamingModel):
        types.append(model.chunk_type())
    return Serving(
        track=work.project.track,
        primary=params.primary,
        latency_seconds=params.latency.seconds,
        threads=params.latency.threads,
        requires=list(params.requires),
        media=any(carries_media(each) for each in types),
        parity=params.parity.kind,
        iou=params.parity.iou,
    )


def lineage(work: Workspace) -> dict[str, str]:
    """Return the data set and commit that the model comes from, and $SLIPWAY_LINEAGE's additions.

    Raises:
        ValueError: SLIPWAY_LINEAGE is not a JSON object of strings.
    """
    entry = catalogue.entry(work.params.dataset)
    files = {name: file.sha256 for name, file in entry.files.items()}
    origin = {"dataset": entry.name, "data_sha256": json.dumps(files), "git_commit": commit()}
    try:
        return _LINEAGE.validate_json(os.environ.get(LINEAGE) or "{}") | origin
    except ValidationError as error:
        raise ValueError(f"{LINEAGE} must be a JSON object of strings: {error}") from error


def commit() -> str:
    """Return the checked-out commit, with `+` if the tree has changes; empty outside git."""
    git = ["git", "-C", str(paths.root())]
    head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True)
    if head.returncode:
        return ""
    state = subprocess.run([*git, "status", "--porcelain"], capture_output=True, text=True)
    return head.stdout.strip() + ("+" if state.stdout.strip() else "")


def _log_run(
    registry: "MlflowClient", work: Workspace, about: Path, metrics: dict[str, float]
) -> str:
    """Log one run with a child run per candidate, and plots, card and timings as artifacts."""
    from mlflow.entities import Metric, Param, RunTag
    from mlflow.utils.time import get_current_time_millis

    place = tracking.experiment(registry, work.project.name)
    chosen, tried = candidates.read(work.candidates)
    now = get_current_time_millis()

    def log(name: str, parent: str | None, params: dict[str, Any], scores: list[Metric]) -> str:
        tags = {"mlflow.runName": name} | ({"mlflow.parentRunId": parent} if parent else {})
        run = str(registry.create_run(place, tags=tags).info.run_id)
        registry.log_batch(
            run,
            metrics=scores,
            params=[Param(key, str(value)) for key, value in params.items()],
            tags=[RunTag("chosen", "true")] if name == chosen else [],
        )
        return run

    params = {"dataset": work.params.dataset, **work.params.prepare, **work.params.fit}
    parent = log(
        work.project.name, None, params, [Metric(k, v, now, 0) for k, v in metrics.items()]
    )
    for each in tried:
        scores = [Metric(key, value, now, 0) for key, value in each.metrics.items()]
        for key, curve in each.curves.items():
            scores += [Metric(key, value, now, step) for step, value in enumerate(curve, start=1)]
        child = log(each.name, parent, each.parameters, scores)
        registry.set_terminated(child)
    for key, value in lineage(work).items():
        registry.set_tag(parent, key, value)
    for folder in (about, work.report, work.volatile):
        if folder.is_dir():
            registry.log_artifacts(parent, str(folder), folder.name)
    registry.set_terminated(parent)
    return parent


def _add_version(
    registry: "MlflowClient", work: Workspace, run: str, staged: Staged, shipped: str
) -> Any:
    import mlflow

    name = work.project.name
    with mlflow.start_run(run_id=run):
        info = mlflow.pyfunc.log_model(
            name=name,
            python_model=str(staged.entry),
            artifacts={"weights": str(staged.weights), "about": str(staged.about)},
            code_paths=[str(each) for each in staged.packages.iterdir()]
            if staged.packages
            else None,
            pip_requirements=requirements(work.params.requires),
            registered_model_name=None,
        )
    if info.signature is None:
        raise TypeError(f"{name}: MLflow inferred no signature from predict's type hints")
    from mlflow.exceptions import MlflowException

    try:
        registry.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    return registry.create_model_version(
        name,
        source=info.model_uri,
        run_id=run,
        tags={"digest": shipped, **lineage(work)},
        model_id=info.model_id,  # a tracking server rejects the source without it
    )


def requirements(groups: Sequence[str] = ()) -> list[str]:
    """Return pins such as `numpy==2.4.6` from the training lock, with those of serving groups.

    Serving lacks only pandas.
    """
    added = (package for name in groups for package in serving_group(name).packages)
    served = {*SERVED_WITH, *added}
    lock = (paths.root() / "infra/environment/locks/training.txt").read_text()
    pins = [line.split(" ")[0] for line in lock.splitlines() if "==" in line]
    return [pin for pin in pins if pin.split("==")[0] in served]


def load_version(name: str, version: str) -> Model:
    """Return the typed model of a registered version, unwrapped from MLflow's pyfunc."""
    import mlflow

    model = mlflow.pyfunc.load_model(f"models:/{name}/{version}").unwrap_python_model()
    return model.model  # type: ignore[no-any-return]


def _scorer(work: Workspace) -> Callable[..., dict[str, float]]:
    """Return the project's `score`, which imports `report.py` when it is called.

    That import may need torch. The first champion is compared with none, so that an image that
    only registers needs no torch.
    """

    def score(**arguments: Any) -> dict[str, float]:
        scores: dict[str, float] = work.project.module("report").score(**arguments)
        return scores

    return score


def _promote(
    registry: "MlflowClient", work: Workspace, version: str, candidate_score: float, shipped: str
) -> None:
    name = work.project.name
    current = tracking.version_of(registry, name, tracking.CHAMPION)
    champion = str(current.version) if current else None
    if champion == version:
        print(f"{name}: v{version} is champion already", flush=True)
        return
    verdict = judge(
        primary=work.params.gate.condition(work.params.primary),
        candidate_score=candidate_score,
        champion=load_version(name, champion) if champion else None,
        champion_version=champion,
        test=read_split(work, "test"),
        score=_scorer(work),
        batch=work.params.batch,
    )
    evidence = {
        "metric": work.params.primary,
        "score": candidate_score,
        "champion_version": champion,
        "champion_score": verdict.champion_score,
        "digest": shipped,
        **lineage(work),
    }
    promotions.append(promotions.Decision(name, version, verdict.promote, verdict.reason, evidence))
    alias = tracking.CHAMPION if verdict.promote else tracking.CHALLENGER
    registry.set_registered_model_alias(name, alias, version)
    print(f"{name}: v{version} is {alias} ({verdict.reason})", flush=True)
