"""Streams, media and tasks of the Python client, and `slipway predict`, against a real server."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from slipway.access import keys
from tests.conftest import ROOT
from tests.services.fake_models import ModelRegistryFixture, Server
from tests.services.streaming_models import (
    EXAMPLE,
    PICTURE,
    picture_bytes,
    picture_example,
    streaming,
)
from tests.waiting import until

# The change of these files runs the tests; see tests/by_change.py.
CONCERNS = ("clients/python/*",)


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> ModelRegistryFixture:
    registry = ModelRegistryFixture(tmp_path_factory.mktemp("media"))
    example = {**EXAMPLE, "output": {**EXAMPLE["output"], "text": "00000001", "model": "count"}}
    registry.add("count", streaming("count"), example=example)
    registry.add("paint", PICTURE, example=picture_example())
    return registry


@pytest.fixture(scope="module")
def server(registry: ModelRegistryFixture) -> Iterator[Server]:
    with registry.serving() as running:
        until(lambda: len(running.client.get("/v1/models").json()["models"]) == 2)
        yield running


@pytest.fixture
def client(slipway_client: Any, server: Server) -> Iterator[Any]:
    with slipway_client.Client(server.address) as opened:
        yield opened


def slipway(server: Server, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "slipway", *words, "--address", server.address],
        cwd=ROOT,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_a_stream_yields_chunks_while_they_are_made(client: Any) -> None:
    count = client.model("count")
    with count.stream(number=3) as stream:
        assert stream.prediction is None
        assert [each.place for each in stream] == [0, 1, 2]
    assert dict(stream.prediction) == dict(count.predict(number=3))
    assert stream.prediction.version == "1"


def test_leaving_a_stream_stops_the_model(client: Any, tmp_path: Path) -> None:
    note = tmp_path / "note"
    with client.model("count").stream(number=100_000, seconds=0.01, action=f"note:{note}") as some:
        for chunk in some:
            if chunk.place == 2:
                break
    until(note.exists)
    assert int(note.read_text().split()[-1]) < 10_000


def test_an_error_in_a_stream_is_raised(client: Any, slipway_client: Any) -> None:
    stream = client.model("count").stream(number=3, action="raise ValueError('no')")
    seen: list[int] = []
    with pytest.raises(slipway_client.Refused) as caught:
        seen.extend(chunk.place for chunk in stream)
    assert caught.value.status == 500
    assert seen == [0, 1]


def test_a_model_that_does_not_stream_is_refused(client: Any, slipway_client: Any) -> None:
    with pytest.raises(slipway_client.Refused) as caught:
        client.model("paint").stream(image=picture_bytes())
    assert caught.value.status == 406


def test_pictures_go_in_and_come_out(client: Any, tmp_path: Path) -> None:
    paint = client.model("paint")
    form = paint.predict(
        image=picture_bytes(level=200),
        factor=0.25,
        corners=[{"x": 1, "y": 2}],
        origin={"x": 7, "y": 0},
        names=["a", "b"],
        others=[picture_bytes(), picture_bytes("JPEG")],
    )
    assert form.image.startswith(b"\x89PNG")
    assert form.mean == pytest.approx(50, abs=1)
    assert (form.corners, form.origin, form.names, form.others) == (1, 7, ["a", "b"], 2)
    several = paint.predict([{"image": picture_bytes(), "factor": 0.25}] * 2)
    assert [each.image for each in several] == [form.image] * 2
    assert paint.predict(image=picture_bytes(), empty=True).image is None
    medium = paint.predict_media(image=picture_bytes(), factor=0.25)
    assert (medium.content, medium.media_type) == (form.image, "image/png")
    assert (medium.model, medium.version) == ("paint", "1")
    assert len(medium.id) == 36
    jpeg = paint.predict_media(image=picture_bytes(), jpeg=True, accept="image/jpeg")
    assert jpeg.save(tmp_path / "dark.jpg").read_bytes().startswith(b"\xff\xd8\xff")


def test_a_task_goes_on_without_its_request(client: Any, slipway_client: Any) -> None:
    count = client.model("count")
    task = count.submit(number=5, seconds=0.1)
    assert task.state() in ("running", "succeeded")
    assert task.wait(timeout=60).count == 5
    assert task.state() == "succeeded"
    failing = count.submit(number=1, action="raise ValueError('no')")
    with pytest.raises(slipway_client.Refused) as caught:
        failing.wait(timeout=60)
    assert caught.value.status == 500
    long = count.submit(number=100, seconds=1)
    with pytest.raises(slipway_client.TimedOut):
        long.wait(timeout=0.1)
    long.cancel()
    with pytest.raises(slipway_client.NotFound):
        long.state()


def test_asyncio_streams_and_waits(server: Server, slipway_client: Any) -> None:
    async def run() -> tuple[Any, ...]:
        async with slipway_client.AsyncClient(server.address) as client:
            count, paint = client.model("count"), client.model("paint")
            async with await count.stream(number=3) as stream:
                places = [each.place async for each in stream]
            task = await count.submit(number=4)
            waited = await task.wait(timeout=60)
            medium = await paint.predict_media(image=picture_bytes())
            return places, stream.prediction, waited, medium

    places, prediction, waited, medium = asyncio.run(run())
    assert places == [0, 1, 2]
    assert (prediction.count, waited.count) == (3, 4)
    assert medium.media_type == "image/png"


def test_the_command_line_streams_and_saves(server: Server, tmp_path: Path) -> None:
    streamed = slipway(server, "predict", "count", '{"number": 3}', "--stream")
    assert streamed.returncode == 0, streamed.stderr
    assert streamed.stderr == "000000010002"
    assert json.loads(streamed.stdout)["predictions"][0]["count"] == 3
    picture = tmp_path / "picture.png"
    picture.write_bytes(picture_bytes())
    words = ("predict", "paint", '{"factor": 0.25}', "--file", f"image={picture}")
    saved = slipway(server, *words, "--save", str(tmp_path / "saved"))
    assert saved.returncode == 0, saved.stderr
    (prediction,) = json.loads(saved.stdout)["predictions"]
    assert Path(prediction["image"]).read_bytes().startswith(b"\x89PNG")
    shown = slipway(server, "predict", "count")
    assert shown.returncode == 1
    assert """'{"number": 2}'""" in shown.stderr
    refused = slipway(server, "predict", "paint", '{"factor": 7}', "--file", f"image={picture}")
    assert refused.stderr.startswith("slipway: Invalid input: factor: ")


def test_the_command_line_shows_a_record(
    client: Any, server: Server, registry: ModelRegistryFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    id = client.model("count").predict(number=1).id
    words = [sys.executable, "-m", "slipway", "records", "show", id]
    here = {**os.environ, "SLIPWAY_HOME": str(registry.home)}
    done = subprocess.run(words, cwd=ROOT, env=here, capture_output=True, text=True, timeout=120)
    assert json.loads(done.stdout)["id"] == id
    monkeypatch.setenv("SLIPWAY_HOME", str(registry.home))
    _, text = keys.create("auditor", ["admin"])
    until(lambda: slipway(server, *words[3:], SLIPWAY_API_KEY=text).returncode == 0)
    by_rest = slipway(server, *words[3:], SLIPWAY_API_KEY=text)
    assert json.loads(by_rest.stdout) == json.loads(done.stdout)
    assert "API key" in slipway(server, *words[3:]).stderr
