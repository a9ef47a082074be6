"""The Python client against the real model server."""

import asyncio
import base64
import io
import json
from pathlib import Path
from typing import Any

import pytest

from slipway.access import keys
from slipway.predictions.feedback_store import FeedbackStore
from tests.services.fake_models import Server
from tests.small_models import NAMES, SmallModels
from tests.waiting import until


@pytest.fixture
def client(slipway_client: Any, server: Server) -> Any:
    with slipway_client.Client(server.address) as opened:
        yield opened


@pytest.fixture(scope="module")
def picture() -> bytes:
    from PIL import Image

    written = io.BytesIO()
    Image.new("L", (28, 28), 128).save(written, "PNG")
    return written.getvalue()


def example(server: Server, name: str) -> tuple[dict, dict]:
    shown = server.client.get(f"/v1/models/{name}/schema").json()["examples"][0]
    return shown["input"], shown["output"]


def test_it_lists_the_models(client: Any) -> None:
    listed = client.models()
    assert [each.name for each in listed] == sorted(NAMES)
    assert {each.version for each in listed} == {"1"}
    assert listed[0].variants == {"champion": "1"}


def test_a_record_gives_a_prediction(client: Any, server: Server) -> None:
    record, expected = example(server, "loans")
    prediction = client.model("loans").predict(record)
    assert dict(prediction) == pytest.approx(expected, abs=1e-3)
    assert prediction.granted == prediction["granted"] == expected["granted"]
    assert (prediction.model, prediction.version, prediction.variant) == ("loans", "1", "champion")
    assert len(prediction.id) == 36
    assert "granted=" in repr(prediction)
    with pytest.raises(AttributeError, match="grant'"):
        _ = prediction.grant


def test_fields_are_given_as_arguments(client: Any, server: Server) -> None:
    record, _ = example(server, "loans")
    loans = client.model("loans")
    assert loans.predict(**record) == loans.predict(record)
    assert loans.predict(record, debt=900) != loans.predict(record)


def test_a_list_gives_a_list_in_order(client: Any, server: Server) -> None:
    record, _ = example(server, "loans")
    worse = {**record, "debt": 900}
    predictions = client.model("loans").predict([record, worse, record])
    assert [each.row for each in predictions] == [0, 1, 2]
    assert len({each.id for each in predictions}) == 1
    assert dict(predictions[0]) == dict(predictions[2]) != dict(predictions[1])


def test_a_misspelt_field_is_found_before_a_request(
    client: Any, server: Server, slipway_client: Any
) -> None:
    record, _ = example(server, "loans")
    loans = client.model("loans")
    with pytest.raises(slipway_client.FieldError, match="'incom'; did you mean income"):
        loans.predict({**record, "incom": 3})
    with pytest.raises(slipway_client.FieldError, match="it has purpose, region"):
        loans.predict([record, {**record, "zzzzzz": 3}])


def test_the_servers_refusal_names_the_fields(client: Any, slipway_client: Any) -> None:
    with pytest.raises(slipway_client.InvalidInput) as caught:
        client.model("loans").predict(purpose="home", region="east", income=-1, debt=2)
    assert caught.value.status == 422
    assert {each["field"] for each in caught.value.errors} == {"region", "income"}
    with pytest.raises(slipway_client.NotFound, match="loans"):
        client.model("loan").predict(purpose="home")


@pytest.mark.parametrize("kind", ["path", "text", "bytes", "file", "base64", "data"])
def test_a_picture_is_given_in_any_form(
    client: Any, picture: bytes, kind: str, tmp_path: Path
) -> None:
    file = tmp_path / "shape.png"
    file.write_bytes(picture)
    encoded = base64.b64encode(picture).decode()
    with file.open("rb") as stream:
        forms = {
            "path": file,
            "text": str(file),
            "bytes": picture,
            "file": stream,
            "base64": encoded,
            "data": f"data:image/png;base64,{encoded}",
        }
        one = client.model("shapes").predict(image=forms[kind])
    several = client.model("shapes").predict([{"image": picture}, {"image": file}])
    assert [each.label for each in several] == [one.label] * 2


def test_what_is_no_picture_is_refused(client: Any, slipway_client: Any, tmp_path: Path) -> None:
    with pytest.raises(slipway_client.InvalidInput, match="image"):
        client.model("shapes").predict(image=b"no picture")
    with pytest.raises(ValueError, match="no file 'nowhere.png'"):
        client.model("shapes").predict(image="nowhere.png")
    text = tmp_path / "text"
    text.write_text("x")
    with text.open() as stream, pytest.raises(ValueError, match="binary mode"):
        client.model("shapes").predict(image=stream)


def test_explanations_add_up(client: Any, server: Server) -> None:
    record, _ = example(server, "loans")
    found = client.model("loans").explain(record)
    assert found["base"] + sum(found["contributions"].values()) == pytest.approx(found["value"])


def test_feedback_is_attached(client: Any, server: Server, small_models: SmallModels) -> None:
    record, _ = example(server, "loans")
    first, second = client.model("loans").predict([record, record])
    client.feedback(second, {"granted": False})
    client.feedback(first.id, reward=0.5)
    store = FeedbackStore(small_models.home / "predictions")
    try:
        found = store.current_feedback("loans", since=0, limit=10)
    finally:
        store.close()
    assert {(each.id, each.row) for each in found} >= {(first.id, 0), (second.id, 1)}


def test_a_key_is_sent(
    small_models: SmallModels, slipway_client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLIPWAY_HOME", str(small_models.home))
    _, text = keys.create("caller", ["predict"])
    with small_models.serving(require_keys="true") as guarded:
        stranger = slipway_client.Client(guarded.address)
        with stranger, pytest.raises(slipway_client.NotPermitted, match="API key needed"):
            stranger.models()
        with slipway_client.Client(guarded.address, key=text) as known:
            until(lambda: _permitted(slipway_client, known))
        monkeypatch.setenv("SLIPWAY_API_KEY", text)
        monkeypatch.setenv("SLIPWAY_ADDRESS", guarded.address)
        with slipway_client.Client() as configured:
            assert len(configured.models()) == len(NAMES)


def _permitted(slipway_client: Any, client: Any) -> bool:
    """Return whether the server knows the key already."""
    try:
        return bool(client.models())
    except slipway_client.NotPermitted:
        return False


def test_asyncio_has_the_same_methods(server: Server, slipway_client: Any, picture: bytes) -> None:
    record, expected = example(server, "loans")

    async def run() -> tuple[Any, ...]:
        async with slipway_client.AsyncClient(server.address) as client:
            loans = client.model("loans")
            predictions = await asyncio.gather(*(loans.predict(record) for _ in range(5)))
            await client.feedback(predictions[0], {"granted": True})
            with pytest.raises(slipway_client.FieldError, match="did you mean income"):
                await loans.predict({**record, "incom": 3})
            with pytest.raises(slipway_client.NotFound):
                await client.model("loan").predict({})
            return (
                predictions,
                await client.models(),
                await client.model("shapes").predict(image=picture),
                await loans.explain(record),
            )

    predictions, models, shape, explanation = asyncio.run(run())
    assert all(each.granted == expected["granted"] for each in predictions)
    assert len({each.id for each in predictions}) == 5
    assert [each.name for each in models] == sorted(NAMES)
    assert shape.label
    assert json.dumps(explanation)
    public = {name for name in dir(slipway_client.Client) if not name.startswith("_")}
    assert public <= set(dir(slipway_client.AsyncClient))
    for kind in ("Model", "Stream", "Task"):
        own = {name for name in dir(getattr(slipway_client, kind)) if not name.startswith("_")}
        assert own <= set(dir(getattr(slipway_client, f"Async{kind}")))
