"""Explanations of pictures and texts over HTTP, as JSON and as heat maps."""

import base64
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest

from slipway.media import decode_image
from tests.services.explained_models import EXPLAINED, MODELS, add_explained_models, lamp_picture
from tests.services.fake_models import ModelRegistryFixture, Server
from tests.services.predict.contract import hold_the_contract
from tests.waiting import until

IMAGE = base64.b64encode(lamp_picture()).decode()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    registry = ModelRegistryFixture(tmp_path_factory.mktemp("explained"))
    add_explained_models(registry)
    with registry.serving() as running:
        until(lambda: len(running.client.get("/v1/models").json()["models"]) == len(MODELS))
        yield running


def explain(served: Server, name: str, **request) -> httpx.Response:
    return served.client.post(f"/v1/models/{name}/explain", **request)


def only(response: httpx.Response) -> dict:
    assert response.status_code == 200, response.text
    (explanation,) = response.json()["explanations"]
    return explanation


def same(one: dict, other: dict) -> bool:
    """Return whether the cells agree; a busy machine makes fewer predictions for them."""
    return bool(np.allclose(one["cells"], other["cells"], rtol=0, atol=1e-9))


def test_one_cell_gets_nearly_all_of_the_value(served: Server) -> None:
    found = only(explain(served, "lamp", json={"image": IMAGE}))
    cells = np.array(found["cells"])
    assert cells.shape == (7, 7)
    assert cells[2, 4] == pytest.approx(found["value"] - found["base"])
    assert np.abs(cells).sum() == pytest.approx(cells[2, 4])
    assert (found["explained"], found["unit"], found["field"]) == ("on", "probability", "image")
    assert (found["width"], found["height"]) == (28, 28)
    assert abs(found["gap"]) < 1e-9
    assert 1 < found["calls"] < found["evaluations"] <= 4000
    assert 2 <= found["budget_seconds"] <= 8
    prediction = served.client.post("/v1/models/lamp/predict", json={"image": IMAGE})
    assert prediction.json()["predictions"][0]["probabilities"]["on"] == found["value"]


def test_a_model_in_a_process_of_its_own_is_explained_alike(served: Server) -> None:
    slow = only(explain(served, "slow_lamp", json={"image": IMAGE}))
    assert same(slow, only(explain(served, "lamp", json={"image": IMAGE})))
    drawn = explain(served, "slow_lamp", json={"image": IMAGE}, headers={"Accept": "image/png"})
    assert drawn.headers["content-type"] == "image/png"


def test_objects_are_explained_by_the_sum_of_their_scores(served: Server) -> None:
    found = only(explain(served, "finder", json={"image": IMAGE, "least": 0.4}))
    assert found["explained"] == "sum of the scores of boxes"
    assert np.array(found["cells"])[2, 4] == pytest.approx(1)
    assert found["base"] == 0


def test_a_heat_map_is_a_picture(served: Server) -> None:
    response = explain(served, "lamp", json={"image": IMAGE}, headers={"Accept": "image/png"})
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "image/png"
    drawn = decode_image(response.content).astype(int)
    assert drawn.shape == (448, 448, 3)
    blue = drawn[..., 2] - drawn[..., 0]
    assert blue[160, 288] > 100
    assert (blue > 100).mean() == pytest.approx(1 / 49, abs=0.001)
    headers = response.headers
    assert (headers["slipway-model"], headers["slipway-version"]) == ("lamp", "1")
    assert (headers["slipway-explained"], float(headers["slipway-value"])) == ("on", 1)


def test_a_picture_may_be_a_file_or_the_whole_body(served: Server) -> None:
    plain = only(explain(served, "lamp", json={"image": IMAGE}))
    form = explain(served, "lamp", files={"image": lamp_picture()}, data={"least": "0.5"})
    raw = explain(served, "lamp", content=lamp_picture(), headers={"Content-Type": "image/png"})
    assert same(only(form), plain)
    assert same(only(raw), plain)


def test_words_get_their_weights(served: Server) -> None:
    mail = {"subject": "Free money", "body": "we are sorry"}
    found = only(explain(served, "mail", json=mail))
    values = {each["text"]: each["value"] for each in found["spans"]}
    assert values == pytest.approx(
        {"Free": 0.25, "money": 0.125, "we": 0, "are": 0, "sorry": -0.125}
    )
    assert (found["base"], found["value"]) == (0.25, 0.5)


def test_models_without_a_number_are_refused(served: Server) -> None:
    refused = explain(served, "mirror", json={"image": IMAGE})
    assert refused.status_code == 422
    assert "mirror predicts no number to explain" in refused.json()["detail"]
    schema = served.client.get("/v1/models/mirror/schema").json()
    assert (schema["explains"], "explain" in schema["links"]) == (False, False)


HOSTILE = {
    "no picture": b"not a picture",
    "empty": b"",
    "cut": lamp_picture()[:200],
    "another kind": b"GIF89a" + bytes(100),
    "a bomb": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\xff\xff\0\0\xff\xff\x08\2\0\0\0" + bytes(64),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_pictures_are_invalid_input(served: Server, name: str) -> None:
    sent = base64.b64encode(HOSTILE[name]).decode()
    for accept in ("application/json", "image/png"):
        refused = explain(served, "lamp", json={"image": sent}, headers={"Accept": accept})
        assert refused.status_code == 422, refused.text
        assert refused.json()["errors"][0]["field"] == "image"
    assert only(explain(served, "lamp", json={"image": IMAGE}))


@pytest.mark.parametrize(
    ("name", "request_", "status"),
    [
        ("lamp", {"json": [{"image": IMAGE}] * 2}, 422),
        ("lamp", {"json": {"image": IMAGE}, "headers": {"Accept": "audio/wav"}}, 406),
        ("mail", {"json": {"subject": "a", "body": ""}, "headers": {"Accept": "image/png"}}, 406),
        ("mail", {"json": {"subject": " - ", "body": ""}}, 422),
        ("lamp", {"content": b"{}", "headers": {"Content-Type": "text/plain"}}, 415),
        ("lamp", {"content": b"{", "headers": {"Content-Type": "application/json"}}, 400),
    ],
)
def test_requests_that_cannot_be_explained(
    served: Server, name: str, request_: dict, status: int
) -> None:
    refused = explain(served, name, **request_)
    assert refused.status_code == status, refused.text
    assert refused.json()["detail"]


def test_predictions_run_between_the_calls_of_explanations(served: Server) -> None:
    """Several explanations at once, or a refusal to make more; predictions never wait for them."""
    with ThreadPoolExecutor(8) as pool:
        explanations = [
            pool.submit(explain, served, "lamp", json={"image": IMAGE}) for _ in range(8)
        ]
        for _ in range(20):
            predicted = served.client.post("/v1/models/lamp/predict", json={"image": IMAGE})
            assert predicted.status_code == 200
    statuses = {each.result().status_code for each in explanations}
    assert statuses <= {200, 503}
    assert 200 in statuses


def test_explanations_satisfy_their_document(served: Server) -> None:
    hold_the_contract(served.client, EXPLAINED, ("explain",))
    document = served.client.get("/openapi.json").json()
    content = document["paths"]["/v1/models/lamp/explain"]["post"]["responses"]["200"]["content"]
    assert set(content) == {"application/json", "image/png"}
    assert "/v1/models/mirror/explain" not in document["paths"]
