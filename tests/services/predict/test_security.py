"""API keys, limits, malformed requests, and tampered artifacts."""

import asyncio
import base64
import gzip
import io
import json
import os
import pickle
import random
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from services.predict import body
from services.web.problem import Problem
from slipway import home
from slipway.access import keys
from slipway.contract.shipped import Shipped
from slipway.home import free_port
from tests.conftest import ROOT
from tests.services.fake_models import ModelRegistryFixture, Server, echo
from tests.waiting import until


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> ModelRegistryFixture:
    registry = ModelRegistryFixture(tmp_path_factory.mktemp("security"))
    registry.add("model", echo("model"))
    return registry


@pytest.fixture(scope="module")
def server(registry: ModelRegistryFixture) -> Iterator[Server]:
    with registry.serving(body_bytes=200_000, batch_rows=100, slow_seconds=2) as running:
        yield running


@pytest.fixture(scope="module")
def guarded(registry: ModelRegistryFixture) -> Iterator[Server]:
    with registry.serving(require_keys="true") as running:
        yield running


@pytest.fixture
def key(registry: ModelRegistryFixture, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SLIPWAY_HOME", str(registry.home))

    def make(*scopes: str, **limits) -> dict[str, str]:
        _, text = keys.create("somebody", scopes, **limits)
        time.sleep(0.6)  # servers reload keys every half a second
        return {"Authorization": f"Bearer {text}"}

    return make


def test_other_addresses_than_loopback_need_a_key(tmp_path: Path) -> None:
    registry = ModelRegistryFixture(tmp_path)
    env = {
        **os.environ,
        **registry.variables(host="0.0.0.0"),
        "SLIPWAY_PREDICT_PORT": str(free_port()),
    }
    command = [sys.executable, "-m", "services.predict"]
    ended = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=600)
    assert ended.returncode == 1
    assert "no API key" in ended.stderr
    assert "slipway keys create" in ended.stderr


def test_a_taken_port_is_an_error_that_says_so(registry: ModelRegistryFixture) -> None:
    with socket.socket() as holder:
        holder.bind((home.LOOPBACK, 0))
        holder.listen()
        port = str(holder.getsockname()[1])
        env = {**os.environ, **registry.variables(), "SLIPWAY_PREDICT_PORT": port}
        command = [sys.executable, "-m", "services.predict"]
        ended = subprocess.run(
            command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=600
        )
    assert ended.returncode == 1
    assert "in use" in ended.stderr


def test_keys_scopes_and_rotation(guarded: Server, key, registry: ModelRegistryFixture) -> None:
    assert guarded.request("model").status_code == 401
    assert guarded.request("model").headers["www-authenticate"] == "Bearer"
    caller = key("predict")
    assert guarded.request("model", headers=caller).status_code == 200
    bare = {"X-API-Key": caller["Authorization"].removeprefix("Bearer ")}
    assert guarded.request("model", headers=bare).status_code == 200
    assert guarded.client.get("/metrics", headers=caller).status_code == 403
    assert guarded.client.get("/metrics", headers=key("metrics")).status_code == 200
    assert guarded.client.get("/v1/models").status_code == 401
    assert guarded.client.get("/v1/live").status_code == 200
    key_id = bare["X-API-Key"].split("_")[1]
    _, successor = keys.rotate(key_id, grace_seconds=6)
    time.sleep(0.6)
    both = (caller, {"Authorization": f"Bearer {successor}"})
    assert [guarded.request("model", headers=each).status_code for each in both] == [200, 200]
    until(lambda: guarded.request("model", headers=caller).status_code == 401)
    assert guarded.request("model", headers=both[1]).status_code == 200
    assert bare["X-API-Key"].split("_", 2)[2] not in (registry.home / "keys.json").read_text()


def test_a_rate_limit_says_when_to_retry(guarded: Server, key) -> None:
    slow = key("predict", rate=2.0, burst=3.0)
    responses = [guarded.request("model", headers=slow) for _ in range(8)]
    counts = Counter(each.status_code for each in responses)
    assert 3 <= counts[200] <= 5
    refused = next(each for each in responses if each.status_code == 429)
    assert 1 <= int(refused.headers["retry-after"]) <= 2
    assert "2 requests a second" in refused.json()["detail"]


@pytest.mark.parametrize("text", ["", "x", "Bearer", "slw_", "\xff", "Bearer " + "a" * 5000])
def test_any_other_text_is_not_a_key(guarded: Server, text: str) -> None:
    response = guarded.client.post(
        "/v1/models/model/predict",
        json={"number": 1},
        headers={"Authorization": text.encode("latin-1")},
    )
    assert response.status_code == 401


def test_security_headers(server: Server) -> None:
    for response in (
        server.request("model"),
        server.client.get("/v1/models"),
        server.request("none"),
    ):
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["cache-control"] == "no-store"
        assert "server" not in response.headers
    docs = server.client.get("/docs")
    assert "frame-ancestors 'none'" in docs.headers["content-security-policy"]


def peak(worker: psutil.Process) -> int:
    """Return the worker's peak memory in bytes."""
    status = Path(f"/proc/{worker.pid}/status").read_text()
    return 1024 * int(status.partition("VmHWM:")[2].split()[0])


def test_compressed_bodies_and_zip_bombs(server: Server) -> None:
    place = "/v1/models/model/predict"
    head = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    body = gzip.compress(b'{"number": 3}')
    response = server.client.post(place, content=body, headers=head)
    assert response.json()["predictions"][0]["number"] == 3
    bomb = gzip.compress(b" " * 150_000_000)
    assert len(bomb) < 200_000
    before = [peak(worker) for worker in server.workers()]
    refused = server.client.post(place, content=bomb, headers=head)
    assert refused.status_code == 413
    # No worker decompressed it.
    after = [peak(worker) for worker in server.workers()]
    grown = [now - then for then, now in zip(before, after, strict=True)]
    assert max(grown) < 30_000_000
    for content, status in ((b"no gzip", 400), (body[:-9], 400)):
        assert server.client.post(place, content=content, headers=head).status_code == status
    unknown = {**head, "Content-Encoding": "br"}
    assert server.client.post(place, content=body, headers=unknown).status_code == 415


def test_sizes_are_limited(server: Server) -> None:
    place = "/v1/models/model/predict"
    rows = [{"number": 1}] * 101
    assert "1 to 100 records" in server.client.post(place, json=rows).json()["detail"]
    head = {"Content-Type": "application/json"}
    big = b"[" + b" " * 200_001 + b"]"
    assert server.client.post(place, content=big, headers=head).status_code == 413

    def chunks() -> Iterator[bytes]:
        for _ in range(300):
            yield b" " * 1000

    assert server.client.post(place, content=chunks(), headers=head).status_code == 413


def test_a_body_in_one_message_without_a_length_is_limited() -> None:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b" " * 1001, "more_body": False}

    with pytest.raises(Problem, match="at most 1000 bytes"):
        asyncio.run(body.read(receive, {}, 1000))
    assert len(asyncio.run(body.read(receive, {}, 1001))) == 1001


def test_a_slow_sender_is_cut_off(server: Server) -> None:
    """Only its connection is closed; other requests are served meanwhile."""
    host, port = server.address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as slow:
        slow.sendall(b"POST /v1/models/model/predict HTTP/1.1\r\nHost: x\r\nContent-Le")
        assert server.request("model").status_code == 200
        slow.settimeout(20)
        start = time.monotonic()
        assert slow.recv(100).startswith(b"HTTP/1.1 408 ")
        assert time.monotonic() - start > 1.5


def malformed(random: random.Random) -> bytes:
    """Return a body that is damaged in one of many ways."""
    good = b'{"number": 1.5, "who": "some \\u00e9 body"}'
    kind = random.randrange(8)
    if kind == 0:
        return random.randbytes(random.randrange(200))
    if kind == 1:
        place = random.randrange(len(good))
        return good[:place]
    if kind == 2:
        place = random.randrange(len(good))
        return good[:place] + random.randbytes(1) + good[place + 1 :]
    if kind == 3:
        return b"[" * random.randrange(1, 5000)
    if kind == 4:
        value = random.choice([None, "text", [], {}, True, 1e308, -1e9, "1e400", [[]]])
        return json.dumps({"number": value}).encode()
    if kind == 5:
        return json.dumps({"number": 1, "x" * random.randrange(1, 50): 1}).encode()
    if kind == 6:
        return (
            b'{"number": ' + random.choice([b"NaN", b"Infinity", b"1e999", b"0x10", b"+1"]) + b"}"
        )
    return b'{"number": 1, "number": "\xff\xfe", "who": "\xed\xa0\x80"}'


def test_ten_thousand_malformed_bodies(server: Server) -> None:
    """Each gets an error response with a reason, or a correct prediction."""
    draw = random.Random(20260101)
    seen: Counter[int] = Counter()
    head = {"Content-Type": "application/json"}
    for _ in range(10_000):
        body = malformed(draw)
        response = server.client.post("/v1/models/model/predict", content=body, headers=head)
        seen[response.status_code] += 1
        assert response.status_code in (200, 400, 422), (body, response.text)
        content = response.json()
        assert ("predictions" in content) == (response.status_code == 200)
        assert "Traceback" not in response.text
    assert seen[400] > 1000
    assert seen[422] > 1000
    assert server.predict("model")["version"] == "1"
    assert server.metric('slipway_requests_total status="500"') == 0


@pytest.mark.parametrize(
    "garbage", [b"\x00\x01\x02", b"GET", b"POST / HTTP/9.9\r\n\r\n", b"\r\n" * 50]
)
def test_garbage_on_the_wire(server: Server, garbage: bytes) -> None:
    host, port = server.address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=5) as wire:
        wire.sendall(garbage)
        wire.shutdown(socket.SHUT_WR)
        wire.recv(1000)
    assert server.request("model").status_code == 200


def test_corrupted_artifacts_are_never_run(tmp_path: Path) -> None:
    """Neither when changed in the registry's store nor on the server's own disk."""
    registry = ModelRegistryFixture(tmp_path)
    registry.add("model", echo("one"))
    proof = tmp_path / "was run"
    evil = f"\nfrom pathlib import Path\nPath({str(proof)!r}).touch()\n"
    with registry.serving() as server:
        version = registry.add("model", echo("two"), alias=None)
        code = Shipped(registry.artifact("model", version)).code
        code.write_text(code.read_text() + evil)
        registry.client.set_registered_model_alias("model", "champion", version)
        until(
            lambda: (
                "DigestMismatch"
                in server.client.get("/v1/models").json()["faults"].get("model", "")
            )
        )
        assert server.predict("model")["version"] == "1"
    (kept,) = (registry.home / "predict" / "models").glob("[0-9a-f]*/model.py")
    kept.write_text(kept.read_text() + evil)
    registry.client.set_registered_model_alias("model", "champion", "1")
    with registry.serving(ready=False) as server:
        # The registry sync fetches it again; the damaged copy is refused meanwhile.
        until(lambda: server.request("model").status_code == 200)
    assert not proof.exists()


def test_pickles_are_refused(server: Server, registry: ModelRegistryFixture) -> None:
    registry.add("pickled", echo("pickled"), weights={"model.pkl": pickle.dumps({"a": 1})})
    fault = "a pickle runs code"
    until(lambda: fault in server.client.get("/v1/models").json()["faults"].get("pickled", ""))
    assert server.predict("model")["version"] == "1"


def test_a_decompression_bomb_image_is_refused() -> None:
    """20,000 by 20,000 pixels in 400 kB: refused by its header, before decompression."""
    from PIL import Image

    from slipway.project import find

    picture = io.BytesIO()
    Image.MAX_IMAGE_PIXELS = None
    Image.new("1", (20_000, 20_000)).save(picture, "PNG")
    record = find("fashion_mnist").model().input_type()
    body = json.dumps({"image": base64.b64encode(picture.getvalue()).decode()})
    with pytest.raises(ValueError, match="at most 1024 pixels a side"):
        record.model_validate_json(body)


def test_a_link_in_an_artifact_is_refused(
    server: Server, registry: ModelRegistryFixture, tmp_path: Path
) -> None:
    version = registry.add("linked", echo("linked"), alias=None, weights={"data.json": b"{}"})
    place = Shipped(registry.artifact("linked", version)).weights / "data.json"
    place.unlink()
    secret = tmp_path / "secret.json"
    secret.write_text("{}")
    place.symlink_to(secret)
    registry.client.set_registered_model_alias("linked", "champion", version)
    until(lambda: "linked" in server.client.get("/v1/models").json()["faults"])
    assert server.request("linked").status_code == 503
    assert server.predict("model")["version"] == "1"


def test_callers_names_do_not_grow_the_metrics(server: Server) -> None:
    for number in range(50):
        assert server.request(f"made_up_{number}").status_code == 404
    assert "made_up" not in server.client.get("/metrics").text


def test_a_form_whose_head_is_damaged_is_refused(server: Server) -> None:
    body = b'--x\r\n[{"a": 1\r\n\r\nv\r\n--x--\r\n'
    response = server.client.post(
        "/v1/models/model/predict",
        content=body,
        headers={"content-type": "multipart/form-data; boundary=x"},
    )
    assert response.status_code == 400
    assert response.json()["title"] == "Malformed form"
