"""Requests and responses besides JSON: raw media, forms with files, and refusals."""

import base64
import io
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import PIL.Image
import pytest
import tritonclient.grpc as triton_grpc
import tritonclient.http as triton_http
from tritonclient.utils import InferenceServerException

from services.predict.negotiation import accepted_types
from slipway import home
from slipway.home import free_port
from slipway.predictions import reader
from tests.services.fake_models import ModelRegistryFixture, Server, echo
from tests.services.streaming_models import PICTURE, picture_bytes, picture_example
from tests.waiting import until

PAINT = "/v1/models/paint/predict"
PNG = {"Content-Type": "image/png"}
GRPC = free_port()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    registry = ModelRegistryFixture(tmp_path_factory.mktemp("negotiation"))
    registry.add("plain", echo("plain"))
    registry.add("paint", PICTURE, example=picture_example())
    with registry.serving(body_bytes=2_000_000, grpc_port=GRPC) as running:
        until(lambda: len(running.client.get("/v1/models").json()["models"]) == 2)
        yield running


@pytest.fixture
def paint(server: Server) -> httpx.Client:
    return server.client


def test_a_raw_body_is_the_media_field(paint: httpx.Client) -> None:
    answer = paint.post(PAINT, content=picture_bytes(level=200), headers=PNG)
    assert answer.status_code == 200, answer.text
    assert answer.json()["predictions"][0]["mean"] == pytest.approx(100, abs=1)
    encoded = base64.b64encode(picture_bytes(level=200)).decode()
    by_json = paint.post(PAINT, json={"image": encoded})
    assert by_json.json()["predictions"] == answer.json()["predictions"]


def test_the_query_holds_the_other_fields_of_a_raw_body(paint: httpx.Client) -> None:
    query = {
        "factor": "0.25",
        "corners": '[{"x": 1, "y": 2}, {"x": 3, "y": 4}]',
        "origin": '{"x": 7, "y": 8}',
        "names": ["a", "b"],
    }
    answer = paint.post(PAINT, content=picture_bytes(level=200), headers=PNG, params=query)
    (painted,) = answer.json()["predictions"]
    assert painted["mean"] == pytest.approx(50, abs=1)
    assert (painted["corners"], painted["origin"], painted["names"]) == (2, 7, ["a", "b"])
    refused = paint.post(PAINT, content=picture_bytes(), headers=PNG, params={"factor": "7"})
    assert refused.json()["errors"][0]["field"] == "factor"
    damaged = paint.post(PAINT, content=picture_bytes(), headers=PNG, params={"origin": "{x"})
    assert damaged.status_code == 422
    assert damaged.json()["errors"][0]["field"] == "origin"


def test_a_raw_body_needs_a_field_for_it(paint: httpx.Client) -> None:
    refused = paint.post("/v1/models/plain/predict", content=picture_bytes(), headers=PNG)
    assert refused.status_code == 415
    assert "plain has no single field of bytes" in refused.json()["detail"]


@pytest.mark.parametrize(
    "content",
    [b"", b"no picture", picture_bytes()[:45], picture_bytes("JPEG")[:200], b"<svg/>", b"\0" * 999],
)
@pytest.mark.parametrize("way", ["raw", "form", "json"])
def test_damaged_media_are_refused(paint: httpx.Client, content: bytes, way: str) -> None:
    if way == "raw":
        answer = paint.post(PAINT, content=content, headers=PNG)
    elif way == "form":
        answer = paint.post(PAINT, files={"image": ("x.png", content)})
    else:
        answer = paint.post(PAINT, json={"image": base64.b64encode(content).decode()})
    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"][0]["field"] == "image"


def test_media_over_a_limit_are_refused(paint: httpx.Client) -> None:
    wide = paint.post(PAINT, content=picture_bytes(size=(600, 10)), headers=PNG)
    assert wide.status_code == 422
    assert "512" in wide.json()["detail"]
    large = paint.post(PAINT, content=b"x" * 2_000_001, headers=PNG)
    assert large.status_code == 413


def test_a_form_sends_lists_and_nested_fields(paint: httpx.Client) -> None:
    files = [
        ("image", ("a.png", picture_bytes(level=200))),
        *(("others", (f"{n}.png", picture_bytes(level=n))) for n in (10, 20, 30)),
        ("corners", (None, '{"x": 1, "y": 2}')),
        ("corners", (None, '{"x": 3, "y": 4}')),
        ("origin", (None, '{"x": 5, "y": 6}')),
        ("names", (None, "one")),
        ("factor", (None, "0.25")),
    ]
    answer = paint.post(PAINT, files=files)
    assert answer.status_code == 200, answer.text
    (painted,) = answer.json()["predictions"]
    assert (painted["others"], painted["corners"], painted["origin"]) == (3, 2, 5)
    assert painted["names"] == ["one"]
    assert painted["mean"] == pytest.approx(50, abs=1)


def test_a_file_that_was_not_chosen_is_missing(paint: httpx.Client) -> None:
    """A browser sends an empty part without a file name."""
    body = (
        b'--x\r\nContent-Disposition: form-data; name="others"; filename=""\r\n\r\n\r\n'
        b'--x\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n\r\n'
        + picture_bytes()
        + b"\r\n--x--\r\n"
    )
    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    answer = paint.post(PAINT, content=body, headers=kind)
    assert answer.status_code == 200, answer.text
    assert answer.json()["predictions"][0]["others"] == 0


@pytest.mark.parametrize(
    ("accept", "jpeg", "kind"),
    [
        ("image/png", False, "image/png"),
        ("image/*", False, "image/png"),
        ("image/*", True, "image/jpeg"),
        ("image/webp, image/jpeg;q=0.9", True, "image/jpeg"),
        ("application/json;q=0.1, image/png", False, "image/png"),
    ],
)
def test_an_answer_may_be_the_picture_itself(
    server: Server, accept: str, jpeg: bool, kind: str
) -> None:
    query, headers = {"jpeg": str(jpeg).lower()}, {**PNG, "Accept": accept}
    content = picture_bytes(level=200)
    answer = server.client.post(PAINT, content=content, headers=headers, params=query)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == kind
    picture = PIL.Image.open(io.BytesIO(answer.content))
    assert picture.get_format_mimetype() == kind
    assert np.asarray(picture).mean() == pytest.approx(100, abs=1)
    about = {name: answer.headers[f"slipway-{name}"] for name in ("model", "version", "variant")}
    assert about == {"model": "paint", "version": "1", "variant": "champion"}
    assert answer.headers["x-content-type-options"] == "nosniff"
    record = reader.find(server.log.parent / "home" / "predictions", answer.headers["slipway-id"])
    assert record is not None
    assert record["project"] == "paint"


@pytest.mark.parametrize(
    "accept",
    [
        None,
        "*/*",
        "application/json",
        "application/*",
        "application/json, image/png",
        "text/html,application/xhtml+xml,*/*;q=0.8",
    ],
)
def test_json_stays_the_default(paint: httpx.Client, accept: str | None) -> None:
    request = paint.build_request("POST", PAINT, content=picture_bytes(), headers=PNG)
    del request.headers["accept"]
    if accept:
        request.headers["accept"] = accept
    answer = paint.send(request)
    assert answer.headers["content-type"] == "application/json"
    image = answer.json()["predictions"][0]["image"]
    assert base64.b64decode(image, validate=True).startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("accept", "query", "text"),
    [
        ("audio/wav", {}, "paint responds with application/json or image/jpeg or image/png"),
        ("text/event-stream", {}, "accepted was text/event-stream"),
        ("text/html", {}, "paint responds with"),
        ("image/png", {"jpeg": "true"}, "this prediction of paint holds image/jpeg"),
        ("image/png", {"empty": "true"}, "this prediction of paint holds no media"),
    ],
)
def test_what_cannot_be_given_is_not_acceptable(
    paint: httpx.Client, accept: str, query: dict, text: str
) -> None:
    headers = {**PNG, "Accept": accept}
    answer = paint.post(PAINT, content=picture_bytes(), headers=headers, params=query)
    assert answer.status_code == 406, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert text in answer.json()["detail"]


def test_raw_media_answer_one_record(paint: httpx.Client) -> None:
    record = {"image": base64.b64encode(picture_bytes()).decode()}
    answer = paint.post(PAINT, json=[record, record], headers={"Accept": "image/png"})
    assert answer.status_code == 406
    assert "send one record" in answer.json()["detail"]
    one = paint.post(PAINT, json=[record], headers={"Accept": "image/png"})
    assert one.status_code == 200


def test_a_key_is_checked_before_anything_is_said_about_the_model(paint: httpx.Client) -> None:
    headers = {"Authorization": "Bearer nothing", "Accept": "text/event-stream"}
    assert paint.post(PAINT, json={}, headers=headers).status_code == 401


def tensors(module: Any, pictures: list[bytes]) -> list:
    """Return the pictures and factors as inputs of tritonclient's HTTP or gRPC module."""
    image = module.InferInput("image", [len(pictures)], "BYTES")
    image.set_data_from_numpy(np.array(pictures, dtype=np.object_))
    factor = module.InferInput("factor", [len(pictures)], "FP64")
    factor.set_data_from_numpy(np.full(len(pictures), 0.5))
    return [image, factor]


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_tensors_hold_the_bytes_of_media(server: Server, protocol: str) -> None:
    pictures = [picture_bytes(level=level) for level in (100, 200)]
    client: Any
    if protocol == "http":
        module: Any = triton_http
        client = triton_http.InferenceServerClient(server.address.removeprefix("http://"))
    else:
        module = triton_grpc
        client = triton_grpc.InferenceServerClient(f"{home.LOOPBACK}:{GRPC}")
    with client:
        assert client.get_model_metadata("paint")
        result = client.infer("paint", tensors(module, pictures))
        images, means = result.as_numpy("image"), result.as_numpy("mean")
        for content, mean, level in zip(images, means, (50, 100), strict=True):
            assert content.startswith(b"\x89PNG")
            picture = np.asarray(PIL.Image.open(io.BytesIO(content)))
            assert picture.mean() == pytest.approx(mean) == pytest.approx(level, abs=1)
        with pytest.raises(InferenceServerException, match="image"):
            client.infer("paint", tensors(module, [b"no picture"]))


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (b"", ("*/*",)),
        (b"a/b;q=0.5, c/d", ("c/d", "a/b")),
        (b"a/b, c/d;q=1.0, e/f;q=0", ("a/b", "c/d")),
        (b"Image/PNG ; q=x", ("image/png",)),
        (b",;,", ("*/*",)),
    ],
)
def test_accepted_types_come_by_preference(accept: bytes, expected: tuple[str, ...]) -> None:
    assert accepted_types(accept) == expected
