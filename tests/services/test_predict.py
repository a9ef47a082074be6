"""The model server, over HTTP: what any caller may meet."""

import io
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from slipway import home
from slipway.home import free_port
from slipway.project import find
from slipway.registry import tracking
from slipway.training.workspace import Workspace
from tests.conftest import PROJECTS, ROOT, running
from tests.waiting import until

TITANIC = "/v1/models/titanic/predict"


@pytest.fixture
def passenger(trained: dict) -> dict:
    return json.loads(trained["titanic"].examples.read_text())[0]["input"]


def test_lists_every_champion(server: httpx.Client) -> None:
    body = server.get("/v1/models").json()
    assert [model["name"] for model in body["models"]] == sorted(each.name for each in PROJECTS)
    assert body["faults"] == {}


def test_tells_of_a_model_and_its_card(server: httpx.Client) -> None:
    body = server.get("/v1/models/titanic").json()
    assert body["metrics"]["accuracy"] > 0.5
    card = server.get(body["card"])
    assert card.headers["content-type"].startswith("text/markdown")
    assert card.text.startswith("# titanic")
    assert "Licence" in card.text


def test_health_and_readiness(server: httpx.Client) -> None:
    assert server.get("/v1/live").status_code == 200
    assert server.get("/v1/ready").json()["models"] == len(PROJECTS)


def test_documentation_needs_nothing_from_outside(server: httpx.Client) -> None:
    page = server.get("/", follow_redirects=True)
    assert page.url.path == "/docs"
    assert "http" not in page.text.replace("http-equiv", "")
    assert server.get("/static/swagger-ui-bundle.js").status_code == 200


@pytest.mark.parametrize(
    ("body", "kind", "status", "told"),
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
    server: httpx.Client, body: bytes, kind: str, status: int, told: str
) -> None:
    answer = server.post(TITANIC, content=body, headers={"Content-Type": kind})
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == status
    assert told in problem["title"] + problem["detail"]
    assert "Traceback" not in answer.text


def test_unknown_model_names_the_known(server: httpx.Client) -> None:
    answer = server.post("/v1/models/lusitania/predict", json={})
    assert answer.status_code == 404
    assert "titanic" in answer.json()["detail"]


def test_form_fields_make_a_record(server: httpx.Client, passenger: dict) -> None:
    form = {key: "" if value is None else str(value) for key, value in passenger.items()}
    files = {key: (None, value) for key, value in form.items()}
    by_form = server.post(TITANIC, files=files)
    by_json = server.post(TITANIC, json=passenger)
    assert by_form.status_code == 200, by_form.text
    assert by_form.json()["predictions"] == by_json.json()["predictions"]


def test_an_image_goes_in_as_a_file_or_as_base64(server: httpx.Client) -> None:
    import base64

    from PIL import Image

    picture = io.BytesIO()
    Image.new("L", (28, 28), 128).save(picture, "PNG")
    place = "/v1/models/fashion_mnist/predict"
    by_file = server.post(place, files={"image": ("shirt.png", picture.getvalue(), "image/png")})
    encoded = base64.b64encode(picture.getvalue()).decode()
    by_json = server.post(place, json={"image": encoded})
    assert by_file.status_code == by_json.status_code == 200, by_file.text + by_json.text
    assert by_file.json()["predictions"] == by_json.json()["predictions"]


@pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n truncated"])
def test_a_broken_image_is_refused(server: httpx.Client, content: bytes) -> None:
    files = {"image": ("broken.png", content, "image/png")}
    answer = server.post("/v1/models/fashion_mnist/predict", files=files)
    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"][0]["field"] == "image"


def test_explanations_add_up(server: httpx.Client, passenger: dict) -> None:
    found = server.post("/v1/models/titanic/explain", json=passenger)
    assert found.status_code == 200, found.text
    (told,) = found.json()["explanations"]
    answer = server.post(TITANIC, json=passenger).json()["predictions"][0]
    assert told["value"] == pytest.approx(answer["probability"], abs=1e-6)
    assert told["base"] + sum(told["contributions"].values()) == pytest.approx(told["value"])
    assert set(told["contributions"]) == set(find("titanic").model().input_type().model_fields)
    refused = server.post("/v1/models/spam/explain", json={"subject": "a", "body": "b"})
    assert refused.status_code == 422
    assert server.post("/v1/models/titanic/explain", json={}).status_code == 422


def test_metrics_count_what_was_answered(server: httpx.Client, passenger: dict) -> None:
    def count(line: str) -> float:
        found = [row for row in server.get("/metrics").text.splitlines() if row.startswith(line)]
        return float(found[0].rpartition(" ")[2]) if found else 0.0

    champion = 'variant="champion",version="1"}'
    answered = f'slipway_requests_total{{project="titanic",status="200",{champion}'
    refused = f'slipway_requests_total{{project="titanic",status="422",{champion}'
    rows = f'slipway_rows_total{{project="titanic",{champion}'
    time.sleep(1)  # the other worker counts every quarter of a second
    before = count(answered), count(refused), count(rows)
    server.post(TITANIC, json=[passenger, passenger])
    server.post(TITANIC, json={})
    wanted = (before[0] + 1, before[1] + 1, before[2] + 2)
    until(lambda: (count(answered), count(refused), count(rows)) == wanted)
    server.post("/v1/models/made-up-name/predict", json={})
    assert "made-up-name" not in server.get("/metrics").text


def test_a_moved_alias_is_followed(
    server: httpx.Client, trained: dict, passenger: dict, tmp_path: Path
) -> None:
    """A new champion answers without a restart, and the old one again when it comes back."""
    from slipway.registry import register as registering

    project, registry = find("titanic"), tracking.client()
    work = Workspace(project, trained["titanic"].params, tmp_path)
    shutil.copytree(trained["titanic"].folder, tmp_path, dirs_exist_ok=True)
    metrics = json.loads(work.metrics.read_text())
    work.metrics.write_text(json.dumps(metrics) + "\n\n")  # other bytes, so another version
    registering.register(work)
    second = tracking.version_of(registry, "titanic", tracking.CHAMPION)
    assert second is not None
    assert str(second.version) == "2"

    def version() -> str:
        return server.post(TITANIC, json=passenger).json()["version"]

    until(lambda: version() == "2")
    registry.set_registered_model_alias("titanic", tracking.CHAMPION, "1")
    until(lambda: version() == "1")


def test_bento_is_built(tmp_path: Path) -> None:
    """The service builds as a Bento that holds its own code and no training code."""
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
    trained: dict, own_home: Path, serving_python: Path, passenger: dict, tmp_path: Path
) -> None:
    """Served by BentoML the same application answers; only health is BentoML's own."""
    port = free_port()
    address = f"http://{home.LOOPBACK}:{port}"
    shutil.copytree(own_home, tmp_path / "home", ignore=shutil.ignore_patterns("*.lock"))
    mlflow = free_port()
    database = f"sqlite:///{own_home / 'mlflow.db'}"
    with (
        running(
            *(sys.executable, "-m", "mlflow", "server", "--backend-store-uri", database),
            *("--workers", "1", "--port", mlflow),
            env={"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
            log=tmp_path / "mlflow.log",
            ready=f"http://{home.LOOPBACK}:{mlflow}/health",
        ),
        running(
            *(serving_python, "-m", "bentoml", "serve", "services.predict.service:Predict"),
            *("--working-dir", ROOT, "--host", home.LOOPBACK, "--port", port),
            env={
                "MLFLOW_TRACKING_URI": f"http://{home.LOOPBACK}:{mlflow}",
                "BENTOML_HOME": str(tmp_path / "bentoml"),
                "SLIPWAY_HOME": str(tmp_path / "home"),
                "PYTHONPATH": str(ROOT),
            },
            log=tmp_path / "bento.log",
            ready=f"{address}/readyz",
        ),
    ):
        answer = httpx.post(address + TITANIC, json=passenger)
        assert answer.status_code == 200, answer.text
        assert answer.json()["model"] == "titanic"
        assert "slipway_requests_total" in httpx.get(f"{address}/metrics").text
        assert httpx.get(f"{address}/livez").status_code == 200


def test_the_contract_holds_for_any_caller(server: httpx.Client) -> None:
    """Schemathesis makes requests of the OpenAPI document, good ones and bad ones.

    Not of models whose features are looked up: there is no feature store here, which is a 503, and
    what is answered then is tested in test_lookup.py.
    """
    names = "|".join(each.name for each in PROJECTS if each.model().looked_up is None)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "run", f"{server.base_url}/openapi.json"),
            *("--checks", "not_a_server_error,status_code_conformance,response_schema_conformance"),
            *("--include-path-regex", f"^/v1/models/({names})/predict$", "--max-examples", "40"),
            *("--seed", "7", "--workers", "1", "--no-color", "--phases", "examples,fuzzing"),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
