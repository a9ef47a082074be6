"""The JavaScript client in Node.js, against the real model server and scripted responses."""

import base64
import io
import json
import re
import subprocess
from typing import Any

import pytest

from tests.clients.scripted_server import scripted
from tests.conftest import ROOT
from tests.javascript import node
from tests.services.fake_models import Server
from tests.small_models import NAMES

FOLDER = ROOT / "clients" / "javascript"
HEAD = f'import {{ Client, Refused }} from "{(FOLDER / "slipway.js").as_uri()}";\n'
ANSWER = {"id": "1", "model": "toy", "version": "3", "predictions": [{"text": "yes"}]}
PROBLEM = {"title": "Busy", "status": 503, "detail": "256 requests wait"}


def run(program: str, *words: str) -> Any:
    """Run a module; return the JSON that it prints."""
    done = subprocess.run(
        [node(), "--input-type=module", "-", *words],
        input=HEAD + program,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def event(name: str, content: Any) -> bytes:
    return f"event: {name}\ndata: {json.dumps(content)}\n\n".encode()


def test_it_calls_the_models(server: Server) -> None:
    program = """
        const client = new Client(process.argv[2]);
        const loans = client.model("loans");
        const { examples } = await loans.schema();
        const record = examples[0].input;
        const one = await loans.predict(record);
        const two = await loans.predict([record, { ...record, debt: 900 }]);
        await client.feedback(one.id, { granted: true });
        const { explanations } = await loans.explain(record);
        const names = (await client.models()).map((each) => each.name);
        const expected = examples[0].output;
        console.log(JSON.stringify({ one, two, explanations, names, expected }));
    """
    found = run(program, server.address)
    assert found["names"] == sorted(NAMES)
    (prediction,) = found["one"]["predictions"]
    assert prediction["probability"] == pytest.approx(found["expected"]["probability"], abs=1e-3)
    assert len(found["two"]["predictions"]) == 2
    assert set(found["explanations"][0]) >= {"base", "contributions"}


def test_a_picture_is_sent_as_a_file(server: Server) -> None:
    from PIL import Image

    written = io.BytesIO()
    Image.new("L", (28, 28), 128).save(written, "PNG")
    program = """
        const shapes = new Client(process.argv[2]).model("shapes");
        const image = new Blob([Buffer.from(process.argv[3], "base64")], { type: "image/png" });
        const byFile = await shapes.predict({ image });
        const byText = await shapes.predict({ image: process.argv[3] });
        console.log(JSON.stringify([byFile.predictions, byText.predictions]));
    """
    encoded = base64.b64encode(written.getvalue()).decode()
    by_file, by_text = run(program, server.address, encoded)
    assert by_file == by_text


def test_a_refusal_names_the_fields(server: Server) -> None:
    program = """
        try {
          await new Client(process.argv[2]).model("loans").predict({ purpose: "home" });
        } catch (error) {
          const { status, errors, message } = error;
          console.log(JSON.stringify({ status, errors, message, own: error instanceof Refused }));
        }
    """
    found = run(program, server.address)
    assert (found["status"], found["own"]) == (422, True)
    assert {each["field"] for each in found["errors"]} == {"region", "income", "debt"}


def test_streams_and_retries() -> None:
    program = """
        const client = new Client(process.argv[2], { key: "secret" });
        const events = [];
        for await (const each of client.model("toy").stream({ number: 1 })) events.push(each);
        let broken;
        try {
          for await (const each of client.model("toy").stream({ number: 1 })) events.push(each);
        } catch (error) { broken = error.message; }
        console.log(JSON.stringify({ events, broken }));
    """
    with scripted() as responses:
        responses.then(503, PROBLEM, retry_after="0")
        chunks = event("chunk", {"text": "ü"}) + b": keep-alive\n\n" + event("chunk", {"text": "s"})
        responses.then(200, chunks + event("prediction", ANSWER))
        responses.then(200, event("chunk", {"text": "y"}) + event("error", PROBLEM))
        found = run(program, responses.address)
        headers = responses.requests[0][2]
    assert [each["data"].get("text") for each in found["events"]] == ["ü", "s", None, "y"]
    assert found["events"][2] == {"event": "prediction", "data": ANSWER}
    assert found["broken"] == "Busy: 256 requests wait"
    named = {name.lower(): value for name, value in headers.items()}
    assert named["authorization"] == "Bearer secret"
    assert named["accept"] == "text/event-stream"


def test_the_example_page_loads_only_its_own_files() -> None:
    for name in ("slipway.js", "example.js"):
        done = subprocess.run([node(), "--check", FOLDER / name], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    page = (FOLDER / "example.html").read_text()
    assert re.findall(r'src="([^"]+)"', page) == ["example.js"]
    assert "script-src 'self'" in page
    assert "<script>" not in page
    assert re.findall(r'from "([^"]+)"', (FOLDER / "example.js").read_text()) == ["./slipway.js"]
