"""A client that openapi-python-client generates from a running server's OpenAPI document."""

import asyncio
import io
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.clients.generated_client import GeneratedClient, generate, importable
from tests.services.fake_models import Server
from tests.services.predict.site.page_models import TOYS, add_models, picture
from tests.small_models import SmallModels
from tests.waiting import until

# The change of these files runs the tests; see tests/by_change.py.
CONCERNS = (
    "services/predict/openapi/*",
    "services/predict/prediction_routes.py",
    "services/predict/model_schema.py",
)

# A model with explanations, and one for each kind of field: plain, nested, media, state, streams.
NAMES = ("loans", *TOYS)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    registry = SmallModels(tmp_path_factory.mktemp("described"), ["loans"])
    add_models(registry)
    with registry.serving() as running:
        until(lambda: len(running.client.get("/v1/models").json()["models"]) == len(NAMES))
        yield running


@pytest.fixture(scope="module")
def package(server: Server, shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the client generated from the server's document."""
    folder = tmp_path_factory.mktemp("generated") / "models_client"
    generate(server.client.get("/openapi.json").json(), folder, shared)
    return folder


@pytest.fixture(scope="module")
def client(package: Path) -> Iterator[GeneratedClient]:
    with importable(package) as imported:
        yield imported


@pytest.fixture(scope="module")
def connection(client: GeneratedClient, server: Server) -> Any:
    return client.connect(server.address)


def example(server: Server, name: str) -> dict[str, Any]:
    """Return the first example of a model, with its input and output."""
    found: dict[str, Any] = server.client.get(f"/v1/models/{name}/schema").json()["examples"][0]
    return found


def test_its_types_are_consistent(package: Path) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "mypy", "--config-file", "/dev/null", "--python-version"),
            *("3.11", "--cache-dir", package.with_name("cache"), "--package", package.name),
        ],
        cwd=package.parent,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", NAMES)
def test_it_predicts_with_every_kind_of_model(
    client: GeneratedClient, connection: Any, server: Server, name: str
) -> None:
    shown = example(server, name)
    expected = server.client.post(f"/v1/models/{name}/predict", json=shown["input"]).json()
    assert client.predict(connection, name, shown["input"]) == expected["predictions"][0]


def test_a_list_is_predicted_and_explained(
    client: GeneratedClient, connection: Any, server: Server
) -> None:
    loan = example(server, "loans")["input"]
    predict = client.operation("predict", "predict_loans")
    records = [client.record(predict, loan)] * 3
    predicted = asyncio.run(predict.asyncio(client=connection, body=records))
    assert len(predicted.predictions) == 3
    explained = client.operation("explain", "explain_loans").sync(client=connection, body=records)
    assert len(explained.explanations) == 3


def test_a_picture_is_sent_as_a_file(client: GeneratedClient, connection: Any) -> None:
    predict = client.operation("predict", "predict_detector")
    file = client.module("types").File
    form = client.module("models").DetectorPhotographForm
    for body in (
        form(image=file(io.BytesIO(picture()), "picture.png", "image/png")),
        file(io.BytesIO(picture())),
    ):
        response = predict.sync(client=connection, body=body)
        assert [box.label for box in response.predictions[0].boxes] == ["red cell", "platelet"]


def test_a_refusal_is_a_problem_that_names_the_field(
    client: GeneratedClient, connection: Any, server: Server
) -> None:
    predict = client.operation("predict", "predict_journeys")
    record = client.record(predict, example(server, "journeys")["input"])
    record.travelers = 100
    response = predict.sync_detailed(client=connection, body=record)
    assert response.status_code == 422
    assert [each.field for each in response.parsed.errors] == ["travelers"]


def test_it_describes_the_models(client: GeneratedClient, connection: Any) -> None:
    listed = client.operation("models", "models").sync(client=connection)
    assert {each["name"] for each in listed.to_dict()["models"]} == set(NAMES)
    infer = client.operation("open_inference_protocol", "v2_model_metadata")
    assert infer.sync_detailed("loans", client=connection).status_code == 200
