"""The contract that every project must satisfy; each project's tests run in one process."""

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import tritonclient.grpc as triton_grpc
import tritonclient.http as triton_http

from slipway import home
from slipway.contract import Record
from slipway.contract.serving import carries_media
from slipway.media import summarize_record
from slipway.project import Project
from slipway.projects.check import shortfalls
from slipway.projects.verify import verify
from slipway.registry import reference, tracking
from slipway.training.candidates import BASELINE
from slipway.training.splits import read_split
from slipway.training.workspace import Workspace
from tests.browser import Tab
from tests.clients.generated_client import GeneratedClient
from tests.conftest import PROJECTS, by_name
from tests.services.explain.dashboard import open_every_page
from tests.services.predict.contract import hold_the_record_types, refuse_wrong_fields
from tests.services.predict.oip_client import answers, infer_over_grpc, infer_over_http
from tests.services.predict.site.site_check import (
    hold_the_page_rules,
    open_model,
    try_first_example,
)

pytestmark = pytest.mark.parametrize("project", PROJECTS, ids=by_name)


@pytest.fixture
def trained(project: Project, trained_project: Callable[[Project], Workspace]) -> Workspace:
    """The project's workspace, trained on few rows and registered in this process."""
    return trained_project(project)


def examples(work: Workspace) -> list[dict[str, Any]]:
    return json.loads(work.examples.read_text())


# Examples have 4 significant digits: rounding changes a number by 1 in 2,000 at most.
ROUNDED = 5.1e-4


def close(one: Any, other: Any, *, rel: float = 1e-5) -> bool:
    """Return whether two JSON values are equal, numbers up to a relative error."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(
            close(one[key], other[key], rel=rel) for key in one
        )
    if isinstance(one, list):
        return len(one) == len(other) and all(
            close(*pair, rel=rel) for pair in zip(one, other, strict=True)
        )
    if isinstance(one, float):
        return other == pytest.approx(one, rel=rel, abs=1e-5)
    return one == other


def test_the_project_passes_all_checks(project: Project) -> None:
    assert shortfalls(project) == []


def test_trains_through_all_stages(project: Project, trained: Workspace) -> None:
    assert json.loads(trained.receipt.read_text())["project"] == project.name
    pictures = list(trained.report.glob("*.png"))
    assert len(pictures) >= 2
    assert all(file.stat().st_size < 200_000 for file in pictures)


def test_run_is_logged_with_a_child_per_candidate(project: Project, trained: Workspace) -> None:
    registry = tracking.client()
    version = tracking.version_of(registry, project.name, tracking.CHAMPION)
    assert version is not None
    run, work = registry.get_run(version.run_id), trained
    assert project.params.primary in run.data.metrics
    given = {"dataset": project.params.dataset, **work.params.prepare, **work.params.fit}
    assert run.data.params == {name: str(value) for name, value in given.items()}
    pictures = {f"report/{file.name}" for file in work.report.iterdir()}
    about = {f"about/{name}" for name in ("card.md", "metrics.json", "examples.json")}
    for folder, expected in (("report", pictures), ("about", about)):
        kept = {each.path for each in registry.list_artifacts(version.run_id, folder)}
        assert expected <= kept
    children = registry.search_runs(
        [run.info.experiment_id], f"tags.mlflow.parentRunId = '{version.run_id}'"
    )
    names = {child.info.run_name for child in children}
    assert names == set(json.loads(work.metrics.read_text())["candidates"])
    assert BASELINE in names
    assert version.tags["dataset"] == project.params.dataset


def test_the_monitoring_reference_has_the_versions_predictions(
    project: Project, trained: Workspace, tmp_path: Path
) -> None:
    version = tracking.version_of(tracking.client(), project.name, tracking.CHAMPION)
    rows = reference.read(version, tmp_path)
    test = read_split(trained, "test")
    assert len(rows) == min(len(test), reference.ROWS) == int(version.tags[reference.TAG])
    assert rows == reference.read(version, tmp_path)
    model = trained.model()
    has_media = any(map(carries_media, (model.input_type(), model.output_type())))
    kept = summarize_record if has_media else partial(Record.model_dump, mode="json")
    for row, (record, label) in list(zip(rows, test, strict=False))[:20]:
        assert close(kept(record), row["record"])
        assert close(kept(model.predict([record])[0]), row["prediction"])
        plain = label.model_dump(mode="json") if isinstance(label, Record) else label
        assert row["label"] == (plain if plain is not label else np.asarray(label).tolist())


def test_signature_comes_from_the_types(project: Project, trained: Workspace) -> None:
    import mlflow

    tracking.client()
    info = mlflow.models.get_model_info(f"models:/{project.name}@champion")
    assert info.signature is not None
    (column,) = info.signature.inputs.inputs
    fields = project.model().input_type().model_fields
    assert {each.name for each in column.type.properties} == set(fields)


def test_mlflow_alone_can_serve_it(project: Project, trained: Workspace) -> None:
    import mlflow

    tracking.client()
    model = mlflow.pyfunc.load_model(f"models:/{project.name}@champion")
    record_type = model.unwrap_python_model().model.input_type()
    for each in examples(trained):
        record = record_type.model_validate_json(json.dumps(each["input"]))
        (prediction,) = model.predict([record])
        assert close(each["output"], prediction.model_dump(mode="json"), rel=ROUNDED)


def test_parity_holds_the_gates_bounds(project: Project, trained: Workspace) -> None:
    metrics = json.loads(trained.metrics.read_text())["metrics"]
    if project.params.parity.kind == "none":  # its reason is in params.yaml
        assert not metrics.keys() & {"parity_error", "parity_agreement"}
        return
    for name in ("parity_error", "parity_agreement"):
        assert project.params.gate.condition(name).met_by(metrics[name]), (name, metrics[name])


def test_model_imports_with_serving_packages_only(
    project: Project, imported_alone: dict[str, str]
) -> None:
    assert imported_alone[project.name] == project.model().input_type().__name__


def test_examples_are_served_as_documented(
    project: Project, trained: Workspace, project_server: httpx.Client
) -> None:
    shown = examples(trained)
    for each in shown:
        response = project_server.post(f"/v1/models/{project.name}/predict", json=each["input"])
        assert response.status_code == 200, response.text
        body = response.json()
        assert body["model"] == project.name
        assert body["version"] == "1"
        assert close(each["output"], body["predictions"][0], rel=ROUNDED)
    batch = [each["input"] for each in reversed(shown)]
    predictions = project_server.post(f"/v1/models/{project.name}/predict", json=batch).json()[
        "predictions"
    ]
    expected = [each["output"] for each in reversed(shown)]
    assert len(predictions) == len(expected)
    assert all(close(*pair, rel=ROUNDED) for pair in zip(expected, predictions, strict=True))


def test_its_metrics_are_reproduced_over_http(
    project: Project, trained: Workspace, project_server: httpx.Client
) -> None:
    report = verify(trained, project_server)
    assert report.differing == []
    assert report.rows == len(read_split(trained, "test"))


def test_openapi_documents_it(
    project: Project, trained: Workspace, project_server: httpx.Client
) -> None:
    document = project_server.get("/openapi.json").json()
    operation = document["paths"][f"/v1/models/{project.name}/predict"]["post"]
    content = operation["requestBody"]["content"]["application/json"]
    assert content["examples"]["example 1"]["value"] == examples(trained)[0]["input"]
    one = content["schema"].get("oneOf", [content["schema"]])[0]
    # With feature lookup, the schema offers the entity's key as an alternative to the record.
    record = one.get("anyOf", [one])[0]["$ref"].rpartition("/")[2]
    fields = document["components"]["schemas"][record]["properties"]
    assert set(fields) == set(project.model().input_type().model_fields)


def test_bad_input_is_refused_by_the_fields_name(
    project: Project, project_server: httpx.Client
) -> None:
    refuse_wrong_fields(project_server, project.name)


@pytest.fixture(scope="module")
def over_http(registry_server: httpx.Client) -> Iterator[triton_http.InferenceServerClient]:
    port = registry_server.base_url.port
    with triton_http.InferenceServerClient(f"{home.LOOPBACK}:{port}") as client:
        yield client


@pytest.fixture(scope="module")
def over_grpc(project_grpc_port: int) -> Iterator[triton_grpc.InferenceServerClient]:
    with triton_grpc.InferenceServerClient(f"{home.LOOPBACK}:{project_grpc_port}") as client:
        yield client


def test_open_inference_predicts_what_the_typed_endpoint_does(
    project: Project,
    trained: Workspace,
    project_server: httpx.Client,
    over_http: triton_http.InferenceServerClient,
    over_grpc: triton_grpc.InferenceServerClient,
) -> None:
    """The real tritonclient sends binary tensors and JSON over HTTP, and requests over gRPC.

    A tensor of bytes has no null, so only examples that give the same fields go in one request.
    """
    first, *others = [each["input"] for each in examples(trained)]
    records = [first, *(each for each in others if given(each) == given(first))]
    typed = project_server.post(f"/v1/models/{project.name}/predict", json=records)
    expected = typed.json()["predictions"]
    for binary in (True, False):
        result = infer_over_http(over_http, project, records, binary=binary)
        assert answers(result, project, len(records)) == expected
        head = result.get_response()
        assert (head["model_name"], head["id"]) == (project.name, "mine")
        assert head["parameters"]["variant"] == "champion"
    result = infer_over_grpc(over_grpc, project, records)
    assert answers(result, project, len(records)) == expected


def given(record: dict[str, Any]) -> set[str]:
    """Return the fields that a record gives."""
    return {name for name, value in record.items() if value is not None}


def test_a_generated_client_predicts_the_examples(
    project: Project,
    trained: Workspace,
    project_server: httpx.Client,
    generated_client: GeneratedClient,
) -> None:
    connection = generated_client.connect(str(project_server.base_url))
    for each in examples(trained):
        prediction = generated_client.predict(connection, project.name, each["input"])
        assert close(each["output"], prediction, rel=ROUNDED)


def test_its_page_predicts_the_first_example(
    project: Project, project_server: httpx.Client, project_tab: Tab
) -> None:
    """On a phone's width, where a page overflows first."""
    address = str(project_server.base_url).rstrip("/")
    project_tab.complaints.clear()
    project_tab.resize(360)
    open_model(project_tab, address, project.name)
    hold_the_page_rules(project_tab)
    assert try_first_example(project_tab, address, project.name)


def test_every_page_of_the_dashboard_opens(
    project: Project, trained: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No page fails; for predictions that are lists or texts it says what cannot be shown."""
    open_every_page(project.name, monkeypatch)


def test_the_endpoint_satisfies_its_contract_for_generated_requests(
    project: Project, project_server: httpx.Client
) -> None:
    """Schemathesis generates valid records from the OpenAPI document.

    What is the same for every model, such as malformed bodies, test_predict.py sends to the tests'
    small models. Models with feature lookup are excluded: without a feature store they respond with
    503, which test_lookup.py tests.
    """
    if project.model().looked_up is not None:
        return
    hold_the_record_types(project_server, project.name)
