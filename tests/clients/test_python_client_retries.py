"""Retries, broken streams and tasks of the Python client, with scripted responses."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest

from slipway.home import LOOPBACK, free_port
from tests.clients.scripted_server import Scripted, scripted

ANSWER = {"id": "1", "model": "toy", "version": "3", "predictions": [{"text": "yes"}]}
PROBLEM = {"title": "Busy", "status": 503, "detail": "256 requests wait"}


@pytest.fixture
def script() -> Iterator[Scripted]:
    with scripted() as responses:
        yield responses


@pytest.fixture
def client(slipway_client: Any, script: Scripted) -> Iterator[Any]:
    retries = slipway_client.Retries(count=2, first_seconds=0.001, most_seconds=5)
    with slipway_client.Client(script.address, retries=retries) as opened:
        yield opened


def event(name: str, content: Any) -> bytes:
    return f"event: {name}\ndata: {json.dumps(content)}\n\n".encode()


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_server_gets_the_request_again(client: Any, script: Scripted, status: int) -> None:
    script.then(status, PROBLEM, retry_after="0")
    script.then(status, PROBLEM)
    script.then(200, ANSWER)
    assert client.model("toy").predict(number=1).text == "yes"
    assert len(script.requests) == 3


def test_after_all_retries_the_refusal_is_raised(
    client: Any, script: Scripted, slipway_client: Any
) -> None:
    for _ in range(3):
        script.then(503, PROBLEM)
    with pytest.raises(slipway_client.Busy, match="256 requests wait"):
        client.model("toy").predict(number=1)
    assert script.responses == []


@pytest.mark.parametrize("status", [400, 401, 404, 422, 500, 504])
def test_other_refusals_are_not_repeated(
    client: Any, script: Scripted, slipway_client: Any, status: int
) -> None:
    script.then(status, {"title": "No", "status": status, "detail": "because"})
    with pytest.raises(slipway_client.Refused, match="No: because") as caught:
        client.model("toy").predict(number=1)
    assert caught.value.status == status
    assert len(script.requests) == 1


def test_a_proxys_page_is_an_error_too(client: Any, script: Scripted, slipway_client: Any) -> None:
    script.then(502, b"<html>Bad Gateway</html>")
    with pytest.raises(slipway_client.Refused, match="502"):
        client.models()


def test_waits_follow_the_server_and_double(slipway_client: Any) -> None:
    retries = slipway_client.Retries(count=3, first_seconds=1, most_seconds=10)
    assert retries.wait(1, 503, {"retry-after": "7"}) == 7
    assert 0.5 <= retries.wait(1, 503, {}) <= 1.5
    assert 2 <= retries.wait(3, 503, {}) <= 6
    assert retries.wait(4, 503, {}) is None
    assert retries.wait(1, 503, {"retry-after": "60"}) is None
    assert retries.wait(1, 500, {}) is None
    assert retries.wait(1, None, {}) is not None
    assert slipway_client.Retries(count=0).wait(1, 503, {}) is None


def test_no_server_is_an_error_that_names_the_address(slipway_client: Any) -> None:
    address = f"http://{LOOPBACK}:{free_port()}"
    client = slipway_client.Client(address, retries=0)
    with client, pytest.raises(slipway_client.Unreachable, match=address):
        client.models()


def test_a_stream_yields_chunks_and_keeps_the_prediction(client: Any, script: Scripted) -> None:
    chunks = event("chunk", {"text": "ye"}) + b": keep-alive\n\n" + event("chunk", {"text": "s"})
    script.then(200, chunks + event("prediction", ANSWER), content_type="text/event-stream")
    with client.model("toy").stream(number=1) as stream:
        assert [each.text for each in stream] == ["ye", "s"]
    assert stream.prediction.text == "yes"
    assert stream.prediction.version == "3"
    assert script.requests[0][2]["Accept"] == "text/event-stream"


def test_an_error_within_a_stream_is_raised(
    client: Any, script: Scripted, slipway_client: Any
) -> None:
    script.then(200, event("chunk", {"text": "y"}) + event("error", PROBLEM))
    stream = client.model("toy").stream(number=1)
    seen = []
    with pytest.raises(slipway_client.Busy, match="256 requests wait"):
        seen.extend(each.text for each in stream)
    assert seen == ["y"] or seen == []


def test_a_truncated_stream_is_an_error(client: Any, script: Scripted, slipway_client: Any) -> None:
    script.then(200, event("chunk", {"text": "y"}))
    with pytest.raises(slipway_client.StreamBroken, match="ended without a prediction"):
        list(client.model("toy").stream(number=1))
    script.then(200, event("chunk", {"text": "y"}), content_length="1000")
    with pytest.raises(slipway_client.SlipwayError):
        list(client.model("toy").stream(number=1))


def test_a_refused_stream_is_repeated_and_then_raised(
    client: Any, script: Scripted, slipway_client: Any
) -> None:
    script.then(503, PROBLEM)
    script.then(406, {"title": "No stream", "status": 406, "detail": "toy does not stream"})
    with pytest.raises(slipway_client.Refused, match="toy does not stream"):
        client.model("toy").stream(number=1)


def test_a_task_is_awaited(client: Any, script: Scripted, slipway_client: Any) -> None:
    script.then(202, {"id": "abc", "state": "running", "url": "/v1/predictions/abc"})
    task = client.model("toy").submit(number=1)
    script.then(200, {"state": "running"})
    assert task.state() == "running"
    script.then(200, {"state": "running"})
    with pytest.raises(slipway_client.TimedOut, match="abc"):
        task.wait(timeout=-1)
    script.then(200, {"state": "succeeded", "response": ANSWER})
    assert task.wait().text == "yes"
    script.then(200, {"state": "failed", "problem": PROBLEM})
    with pytest.raises(slipway_client.Busy, match="256"):
        task.wait()
    script.then(204, b"")
    task.cancel()
    assert script.requests[0][2]["Prefer"] == "respond-async"
    assert script.requests[-1][:2] == ("DELETE", "/v1/predictions/abc")


def test_a_medium_is_returned_as_such(client: Any, script: Scripted, tmp_path: Any) -> None:
    named = {"slipway_id": "1", "slipway_version": "3", "slipway_variant": "champion"}
    script.then(200, b"\x89PNG", content_type="image/png", **named)
    medium = client.model("toy").predict_media(number=1)
    assert (medium.content, medium.media_type) == (b"\x89PNG", "image/png")
    assert (medium.id, medium.version, medium.variant) == ("1", "3", "champion")
    assert medium.save(tmp_path / "answer.png").read_bytes() == b"\x89PNG"
    assert script.requests[0][2]["Accept"] == "image/png"


def test_asyncio_streams_and_waits(script: Scripted, slipway_client: Any) -> None:
    retries = slipway_client.Retries(count=2, first_seconds=0.001)

    async def run() -> None:
        async with slipway_client.AsyncClient(script.address, retries=retries) as client:
            toy = client.model("toy")
            script.then(503, PROBLEM)
            script.then(200, event("chunk", {"text": "y"}) + event("prediction", ANSWER))
            async with await toy.stream(number=1) as stream:
                assert [each.text async for each in stream] == ["y"]
            assert stream.prediction.text == "yes"
            script.then(202, {"id": "abc", "state": "running"})
            script.then(200, {"state": "running"})
            script.then(200, {"state": "succeeded", "response": ANSWER})
            task = await toy.submit(number=1)
            assert await task.state() == "running"
            assert (await task.wait(timeout=60)).text == "yes"
            script.then(200, b"x", content_type="image/png")
            assert (await toy.predict_media(number=1)).content == b"x"
            script.then(204, b"")
            await task.cancel()

    asyncio.run(run())
    assert script.responses == []
