"""Batch jobs and their command line, traces, logs, and Triton as the backend."""

import base64
import io
import json
import os
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from slipway import home
from slipway.access import keys
from slipway.home import free_port
from slipway.media import decode_image
from slipway.predictions import reader
from tests.conftest import ROOT
from tests.services.fake_models import ModelRegistryFixture, Server, code, echo, shipped_of
from tests.services.predict.batch.media_models import (
    NEGATIVES,
    picture,
    pictures,
    write_tar,
    write_zip,
)
from tests.small_models import SmallModels
from tests.waiting import until

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture(scope="module")
def fake_models(tmp_path_factory: pytest.TempPathFactory) -> ModelRegistryFixture:
    fake_models = ModelRegistryFixture(tmp_path_factory.mktemp("extras"))
    fake_models.add("model", echo("model"))
    return fake_models


@pytest.fixture(scope="module")
def collector() -> Iterator[tuple[str, list]]:
    """Return the address of an OTLP/HTTP collector, and the list of spans that it receives."""
    spans: list = []

    class Keep(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            sent = ExportTraceServiceRequest()
            sent.ParseFromString(self.rfile.read(int(self.headers["Content-Length"])))
            for resource in sent.resource_spans:
                for scope in resource.scope_spans:
                    spans.extend(scope.spans)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    listening = HTTPServer((home.LOOPBACK, 0), Keep)
    thread = threading.Thread(target=listening.serve_forever)
    thread.start()
    yield f"http://{home.LOOPBACK}:{listening.server_port}", spans
    listening.shutdown()
    thread.join()
    listening.server_close()


@pytest.fixture(scope="module")
def server(fake_models: ModelRegistryFixture, collector: tuple[str, list]) -> Iterator[Server]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OTEL_BSP_SCHEDULE_DELAY", "200")
        with fake_models.serving(traces=collector[0]) as running:
            yield running


def test_a_file_is_scored_as_a_job(server: Server) -> None:
    sent = [f"{number},{number / 10},person {number}" for number in range(5000)]
    sent[17] = "17,9999,too large"
    body = "\n".join(["id,number,who", *sent]).encode()
    place = "/v1/models/model/jobs"
    created = server.client.post(place, params={"keep": "id", "target": "jsonl"}, content=body)
    assert created.status_code == 202, created.text
    job = created.json()
    assert created.headers["location"] == job["self"]
    assert "model_folder" not in job

    def state() -> dict:
        return server.client.get(job["self"]).json()

    until(lambda: state()["state"] == "done")
    assert state()["progress"]["rows"] == 5000
    assert state()["progress"]["bad"] == 1
    lines = server.client.get(f"{job['self']}/result").text.splitlines()
    rows = [json.loads(line) for line in lines]
    assert len(rows) == 5000
    assert rows[100] == {"id": "100", "number": 10.0, "model": "model", "error": None}
    assert "number" in rows[17]["error"]
    assert job["id"] in {each["id"] for each in server.client.get("/v1/jobs").json()}
    assert server.client.delete(job["self"]).status_code == 204
    assert server.client.get(job["self"]).status_code == 404


def test_an_archive_of_pictures_is_scored_as_a_job(
    server: Server, fake_models: ModelRegistryFixture, tmp_path: Path
) -> None:
    sent = base64.b64encode(picture(0)).decode()
    output = {"width": 8, "note": "", "negative": None, "halves": []}
    fake_models.add(
        "negatives",
        NEGATIVES,
        weights={"pause": b"0"},
        example={"input": {"image": sent}, "output": output},
    )
    until(lambda: server.client.get("/v1/models/negatives").status_code == 200)
    place = "/v1/models/negatives/jobs"

    def job(file: Path, **query: str) -> dict:
        content = file.read_bytes()
        created = server.client.post(place, params=query, content=content)
        assert created.status_code == 202, created.text
        address = created.json()["self"]
        until(lambda: server.client.get(address).json()["state"] in ("done", "failed"))
        return server.client.get(address).json()

    archive = write_zip(tmp_path / "in.zip", {**pictures(20), "photos/0007.png": b"damaged"})
    done = job(archive, source="zip", target="zip")
    assert (done["state"], done["progress"]["rows"], done["progress"]["bad"]) == ("done", 20, 1)
    result = server.client.get(f"{done['self']}/result")
    assert result.headers["content-type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(result.content)) as found:
        rows = [json.loads(line) for line in found.read("predictions.jsonl").splitlines()]
        negative = found.read(rows[19]["negative"])
    assert [row["file"] for row in rows] == list(pictures(20))
    assert [row["error"] is None for row in rows] == [number != 7 for number in range(20)]
    np.testing.assert_array_equal(decode_image(negative), 255 - decode_image(picture(19)))

    compressed = write_tar(tmp_path / "in.tgz", pictures(3))
    assert job(compressed, source="tar", target="parquet")["progress"]["rows"] == 3
    hostile = write_zip(tmp_path / "hostile.zip", {"../../keys.json": b"{}"})
    failed = job(hostile, source="zip", target="jsonl")
    assert failed["state"] == "failed"
    assert "'../../keys.json' is not a path inside the archive" in failed["fault"]
    assert server.client.post(place, params={"source": "folder"}, content=b"").status_code == 422


def test_invalid_jobs_are_refused(server: Server) -> None:
    place = "/v1/models/model/jobs"
    assert server.client.post("/v1/models/none/jobs", content=b"x").status_code == 404
    assert server.client.post(place, params={"source": "xls"}, content=b"x").status_code == 422
    for id in ("x", "..%2f..%2fkeys.json", "00000000-0000-4000-8000-000000000000"):
        assert server.client.get(f"/v1/jobs/{id}").status_code == 404
    job = server.client.post(place, content=b"colour\nred\n").json()
    until(lambda: server.client.get(job["self"]).json()["state"] == "failed")
    assert "colour" in server.client.get(job["self"]).json()["fault"]
    assert server.client.get(f"{job['self']}/result").status_code == 409


def test_a_job_outlives_the_server(fake_models: ModelRegistryFixture) -> None:
    slow = """
        import time
        time.sleep(0.001 * len(model_input))
        return [Answer(number=each.number, model="slow") for each in model_input]
    """
    fake_models.add("slow", code(slow))
    body = "number\n" + "".join(f"{number % 1000}\n" for number in range(12_000))
    with fake_models.serving() as first:
        until(lambda: first.request("slow").status_code == 200)
        job = first.client.post("/v1/models/slow/jobs", content=body).json()

        def rows() -> int:
            progress = first.client.get(job["self"]).json()["progress"]
            return progress["rows"] if progress else 0

        until(lambda: rows() > 1000)
    with fake_models.serving() as second:
        until(lambda: second.client.get(job["self"]).json()["state"] == "done")
        result = second.client.get(f"{job['self']}/result").text.splitlines()
        assert len(result) == 12_001


def test_traces_continue_the_callers_trace(
    server: Server, collector: tuple[str, list], fake_models: ModelRegistryFixture
) -> None:
    response = server.predict("model", headers={"traceparent": PARENT})
    trace = PARENT.split("-")[1]

    def mine() -> list:
        return [span for span in collector[1] if span.trace_id.hex() == trace]

    until(lambda: len(mine()) >= 3)
    by_name = {span.name: span for span in mine()}
    assert set(by_name) == {"predict model", "validate", "infer"}
    outer = by_name["predict model"]
    assert outer.parent_span_id.hex() == PARENT.split("-")[2]
    for name in ("validate", "infer"):
        assert by_name[name].parent_span_id == outer.span_id
        assert outer.start_time_unix_nano <= by_name[name].start_time_unix_nano
    found = reader.find(fake_models.home / "predictions", response["id"])
    assert found is not None
    assert found["trace"] == trace
    # A request without a trace gets a new one.
    assert reader.find(fake_models.home / "predictions", server.predict("model")["id"])["trace"]


def test_logs_are_json_with_the_trace_id(server: Server, fake_models: ModelRegistryFixture) -> None:
    fake_models.add(
        "raising",
        code(
            "if model_input[0].number > 1: raise KeyError('x')\nreturn "
            "[Answer(number=1, model='r') for _ in model_input]"
        ),
    )
    until(lambda: server.request("raising").status_code == 200)
    assert server.request("raising", 5, headers={"traceparent": PARENT}).status_code == 500
    lines = [json.loads(line) for line in server.log.read_text().splitlines()]
    (entry,) = [line for line in lines if "raising v1 raised KeyError" in line["message"]]
    assert entry["trace"] == PARENT.split("-")[1]
    assert entry["level"] == "error"
    assert "Traceback" in entry["exception"]


def test_observing_many_values_equals_observing_each() -> None:
    from prometheus_client import CollectorRegistry, Histogram

    from services.predict.metrics import SECONDS, observe_many

    values = [0.0, 0.00005, 0.000051, 0.01, 3.3, 9.99, 10, 11, 1e9, *SECONDS]
    samples = []
    for together in (True, False):
        registry, name = CollectorRegistry(), "together" if together else "singly"
        # Two names: processes share values by name.
        histogram = Histogram(name, "h", ["of"], buckets=SECONDS, registry=registry)
        if together:
            observe_many(histogram.labels("x"), values)
        else:
            for value in values:
                histogram.labels("x").observe(value)
        samples.append(
            {
                (sample.name.removeprefix(name), sample.labels.get("le")): sample.value
                for metric in registry.collect()
                for sample in metric.samples
                if not sample.name.endswith("_created")
            }
        )
    assert samples[0] == pytest.approx(samples[1])


def test_the_command_line_scores_a_file(fake_models: ModelRegistryFixture, tmp_path: Path) -> None:
    source, target = tmp_path / "in.csv", tmp_path / "out.csv"
    source.write_text("number\n1\n2\n")
    done = subprocess.run(
        [sys.executable, "-m", "slipway", "score", "model", str(source), str(target)],
        cwd=ROOT,
        env={**os.environ, **fake_models.variables(), **home.TELEMETRY_OFF},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert target.read_text().splitlines()[1].startswith("1.0,model")


def test_uploads_need_their_scope(
    fake_models: ModelRegistryFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLIPWAY_HOME", str(fake_models.home))
    _, predict = keys.create("caller", ["predict"])
    _, score = keys.create("batch", ["score"])
    with fake_models.serving(require_keys="true", upload_bytes=1000) as guarded:
        place = "/v1/models/model/jobs"

        def post(key: str, body: bytes) -> int:
            head = {"Authorization": f"Bearer {key}"}
            return guarded.client.post(place, content=body, headers=head).status_code

        assert post(predict, b"number\n1\n") == 403
        assert post(score, b"number\n" + b"1\n" * 1000) == 413
        assert post(score, b"number\n1\n") == 202
        left = list((fake_models.home / "predict" / "uploads").iterdir())
        assert left == []


def test_triton_runs_the_graph(small_models: SmallModels, tmp_path: Path) -> None:
    """The same model.py predicts the same when the real tritonserver runs its graph."""
    from services.predict.triton import server as triton
    from services.predict.triton.repository import Registered, build
    from slipway.contract.shipped import Shipped

    triton.environment()
    fake_models = ModelRegistryFixture(tmp_path)
    work = small_models.works["loans"]
    version = fake_models.register("loans", shipped_of(work, tmp_path / "loans"))
    models = tmp_path / "models"
    shipped = Shipped(fake_models.artifact("loans", version))
    build([Registered("loans", version, shipped)], models, backend="python")
    examples = json.loads(work.examples.read_text())
    records = [each["input"] for each in examples]
    ports = {name: free_port() for name in ("http", "grpc", "metrics")}
    place = "/v1/models/loans/predict"
    with (
        triton.running(models, **ports, log=tmp_path / "triton.log") as running,
        fake_models.serving(triton=running.grpc) as server,
    ):
        until(lambda: server.client.post(place, json=records).status_code == 200)
        there = server.client.post(place, json=records).json()["predictions"]
        running.process.kill()
        running.process.wait()
        gone = server.client.post(place, json=records)
        assert gone.status_code in (500, 503), gone.text
        assert server.client.get("/v1/live").status_code == 200
    with fake_models.serving() as server:
        until(lambda: server.client.post(place, json=records).status_code == 200)
        assert server.client.post(place, json=records).json()["predictions"] == there
