"""The model server over HTTP, as any caller uses it."""

import io
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from slipway import home
from slipway.home import free_port
from slipway.registry import tracking
from tests.conftest import ROOT, running
from tests.services.predict.contract import hold_the_contract
from tests.small_models import NAMES, SmallModels, project
from tests.waiting import until
from tests.workspaces import linked

LOANS = "/v1/models/loans/predict"


@pytest.fixture
def applicant(small_models: SmallModels) -> dict:
    return json.loads(small_models.works["loans"].examples.read_text())[0]["input"]


def test_lists_every_champion(server: httpx.Client) -> None:
    body = server.get("/v1/models").json()
    assert [model["name"] for model in body["models"]] == sorted(NAMES)
    assert body["faults"] == {}


def test_shows_a_model_and_its_card(server: httpx.Client) -> None:
    body = server.get("/v1/models/loans").json()
    assert body["metrics"]["accuracy"] > 0.5
    card = server.get(body["card"])
    assert card.headers["content-type"].startswith("text/markdown")
    assert card.text.startswith("# loans")
    assert "Licence" in card.text


def test_the_schema_is_all_that_a_form_needs(server: httpx.Client) -> None:
    shapes, loans = (server.get(f"/v1/models/{name}/schema").json() for name in ("shapes", "loans"))
    assert shapes["input"]["properties"]["image"]["type"] == "string"
    assert set(loans["examples"][0]["input"]) <= set(loans["input"]["properties"])
    assert set(loans["examples"][0]["output"]) <= set(loans["output"]["properties"])
    assert (loans["explains"], shapes["explains"]) == (True, False)
    assert not loans["streams"]
    assert loans["chunk"] is None
    assert loans["latency_seconds"] > 0
    example = loans["examples"][0]["input"]
    assert server.post(loans["links"]["predict"], json=example).status_code == 200
    assert server.post(loans["links"]["explain"], json=example).status_code == 200
    assert "explain" not in shapes["links"]
    assert server.get("/v1/models/nobody/schema").status_code == 404


def test_health_and_readiness(server: httpx.Client) -> None:
    assert server.get("/v1/live").status_code == 200
    assert server.get("/v1/ready").json()["models"] == len(NAMES)


def test_documentation_needs_nothing_from_outside(server: httpx.Client) -> None:
    page = server.get("/docs")
    assert "http" not in page.text.replace("http-equiv", "")
    assert server.get("/static/swagger-ui-bundle.js").status_code == 200


@pytest.mark.parametrize(
    ("body", "kind", "status", "message"),
    [
        (b"{not json", "application/json", 400, "Malformed JSON"),
        (b"", "application/json", 400, "Malformed JSON"),
        (b"[]", "application/json", 422, "1 to 10000 records"),
        (b"3", "application/json", 422, "object"),
        (b"\xff\xfe", "application/json", 400, "Malformed JSON"),
        (b"{}", "text/plain", 415, "application/json"),
        (b"[" + b" " * 3_100_000 + b"]", "application/json", 413, "at most 3000000 bytes"),
    ],
)
def test_unusable_bodies(
    server: httpx.Client, body: bytes, kind: str, status: int, message: str
) -> None:
    response = server.post(LOANS, content=body, headers={"Content-Type": kind})
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert problem["status"] == status
    assert message in problem["title"] + problem["detail"]
    assert "Traceback" not in response.text


def test_unknown_model_names_the_known(server: httpx.Client) -> None:
    response = server.post("/v1/models/nobody/predict", json={})
    assert response.status_code == 404
    assert "loans" in response.json()["detail"]


def test_form_fields_make_a_record(server: httpx.Client, applicant: dict) -> None:
    form = {key: "" if value is None else str(value) for key, value in applicant.items()}
    files = {key: (None, value) for key, value in form.items()}
    by_form = server.post(LOANS, files=files)
    by_json = server.post(LOANS, json=applicant)
    assert by_form.status_code == 200, by_form.text
    assert by_form.json()["predictions"] == by_json.json()["predictions"]


def test_an_image_goes_in_as_a_file_or_as_base64(server: httpx.Client) -> None:
    import base64

    from PIL import Image

    picture = io.BytesIO()
    Image.new("L", (28, 28), 128).save(picture, "PNG")
    place = "/v1/models/shapes/predict"
    by_file = server.post(place, files={"image": ("shape.png", picture.getvalue(), "image/png")})
    encoded = base64.b64encode(picture.getvalue()).decode()
    by_json = server.post(place, json={"image": encoded})
    assert by_file.status_code == by_json.status_code == 200, by_file.text + by_json.text
    assert by_file.json()["predictions"] == by_json.json()["predictions"]


@pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n truncated"])
def test_a_broken_image_is_refused(server: httpx.Client, content: bytes) -> None:
    files = {"image": ("broken.png", content, "image/png")}
    response = server.post("/v1/models/shapes/predict", files=files)
    assert response.status_code == 422, response.text
    assert response.json()["errors"][0]["field"] == "image"


def test_explanations_add_up(server: httpx.Client, applicant: dict) -> None:
    explained = server.post("/v1/models/loans/explain", json=applicant)
    assert explained.status_code == 200, explained.text
    (explanation,) = explained.json()["explanations"]
    response = server.post(LOANS, json=applicant).json()["predictions"][0]
    assert explanation["value"] == pytest.approx(response["probability"], abs=1e-6)
    assert explanation["base"] + sum(explanation["contributions"].values()) == pytest.approx(
        explanation["value"]
    )
    assert set(explanation["contributions"]) == set(
        project("loans").model().input_type().model_fields
    )
    house = {"area": 90, "rooms": 3, "detached": True}
    refused = server.post("/v1/models/houses/explain", json=house)
    assert refused.status_code == 422
    assert server.post("/v1/models/loans/explain", json={}).status_code == 422


def test_metrics_count_requests_and_rows(server: httpx.Client, applicant: dict) -> None:
    def count(line: str) -> float:
        lines = [row for row in server.get("/metrics").text.splitlines() if row.startswith(line)]
        return float(lines[0].rpartition(" ")[2]) if lines else 0.0

    champion = 'variant="champion",version="1"}'
    succeeded = f'slipway_requests_total{{project="loans",status="200",{champion}'
    refused = f'slipway_requests_total{{project="loans",status="422",{champion}'
    rows = f'slipway_rows_total{{project="loans",{champion}'
    time.sleep(1)  # the other worker counts every quarter of a second
    before = count(succeeded), count(refused), count(rows)
    server.post(LOANS, json=[applicant, applicant])
    server.post(LOANS, json={})
    expected = (before[0] + 1, before[1] + 1, before[2] + 2)
    until(lambda: (count(succeeded), count(refused), count(rows)) == expected)
    server.post("/v1/models/made-up-name/predict", json={})
    assert "made-up-name" not in server.get("/metrics").text


def test_a_moved_alias_is_followed(
    server: httpx.Client, small_registry: SmallModels, applicant: dict, tmp_path: Path
) -> None:
    """A new champion serves without a restart, and so does the old one when it is reinstated."""
    from slipway.registry.signed import register

    registry = tracking.client()
    work = linked(small_registry.works["loans"], tmp_path)
    metrics = json.loads(work.metrics.read_text())
    work.metrics.write_text(json.dumps(metrics) + "\n\n")  # other bytes, so another version
    work.receipt.unlink()  # a link; `register` writes it again
    register(work)
    second = tracking.version_of(registry, "loans", tracking.CHAMPION)
    assert second is not None
    assert str(second.version) == "2"

    def version() -> str:
        return server.post(LOANS, json=applicant).json()["version"]

    until(lambda: version() == "2")
    registry.set_registered_model_alias("loans", tracking.CHAMPION, "1")
    until(lambda: version() == "1")


def test_bento_is_built(tmp_path: Path) -> None:
    """The Bento holds the service's own code and no training code."""
    env = {**os.environ, "BENTOML_HOME": str(tmp_path)}
    built = subprocess.run(
        [
            *(sys.executable, "-m", "bentoml", "build", "--output", "tag"),
            *("-f", "services/predict/bentofile.yaml", "."),
        ],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
    )
    assert built.returncode == 0, built.stderr
    (source,) = tmp_path.glob("bentos/*/*/src")
    assert (source / "services" / "predict" / "app.py").is_file()
    assert (source / "slipway" / "contract" / "model.py").is_file()
    assert not (source / "pipelines").exists()


def test_bento_answers(
    mlflow_address: str, serving_python: Path, applicant: dict, tmp_path: Path
) -> None:
    """BentoML serves the same application; only the health checks are its own."""
    port = free_port()
    address = f"http://{home.LOOPBACK}:{port}"
    with running(
        *(serving_python, "-m", "bentoml", "serve", "services.predict.service:Predict"),
        *("--working-dir", ROOT, "--host", home.LOOPBACK, "--port", port),
        env={
            "MLFLOW_TRACKING_URI": mlflow_address,
            "BENTOML_HOME": str(tmp_path / "bentoml"),
            "SLIPWAY_HOME": str(tmp_path / "home"),
            "PYTHONPATH": str(ROOT),
        },
        log=tmp_path / "bento.log",
        ready=f"{address}/readyz",
    ):
        response = httpx.post(address + LOANS, json=applicant)
        assert response.status_code == 200, response.text
        assert response.json()["model"] == "loans"
        assert "slipway_requests_total" in httpx.get(f"{address}/metrics").text
        assert httpx.get(f"{address}/livez").status_code == 200


def test_the_contract_holds_for_any_caller(server: httpx.Client) -> None:
    """Schemathesis makes valid and invalid requests from the OpenAPI document.

    tests/pipelines/test_projects.py does so for the models of the projects.
    """
    hold_the_contract(server, NAMES, ("predict", "explain"))
