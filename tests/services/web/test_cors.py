"""Pages of other origins, as a browser calls the model server for them."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from services.predict.settings import Settings
from services.settings import BadSettings
from tests.services.fake_models import ModelRegistryFixture, Server, echo

SHOP, STRANGER = "https://shop.example", "https://stranger.example"
PLACE = "/v1/models/model/predict"


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> ModelRegistryFixture:
    registry = ModelRegistryFixture(tmp_path_factory.mktemp("cors"))
    registry.add("model", echo("model"))
    return registry


@pytest.fixture(scope="module")
def server(registry: ModelRegistryFixture) -> Iterator[Server]:
    with registry.serving(origins=f"{SHOP}, http://127.0.0.1:8080") as running:
        yield running


def preflight(server: Server, origin: str, path: str = PLACE) -> httpx.Response:
    headers = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization, content-type",
    }
    return server.client.options(path, headers=headers)


def words(response: httpx.Response, name: str) -> set[str]:
    return set(response.headers[name].lower().split(", "))


def test_a_preflight_names_what_a_page_may_send(server: Server) -> None:
    response = preflight(server, SHOP)
    assert response.status_code == 204
    assert response.headers["access-control-allow-origin"] == SHOP
    assert response.headers["vary"] == "Origin"
    assert "access-control-allow-credentials" not in response.headers
    assert "post" in words(response, "access-control-allow-methods")
    allowed = words(response, "access-control-allow-headers")
    assert {"authorization", "content-type", "prefer"} <= allowed
    assert int(response.headers["access-control-max-age"]) > 60


@pytest.mark.parametrize("path", [PLACE, "/v1/models", "/v2/models/model/infer", "/v1/feedback"])
def test_a_preflight_of_another_origin_is_refused(server: Server, path: str) -> None:
    assert preflight(server, SHOP, path).status_code == 204
    refused = preflight(server, STRANGER, path)
    assert refused.status_code == 403
    assert "access-control-allow-origin" not in refused.headers
    assert STRANGER in refused.json()["detail"]


@pytest.mark.parametrize(
    ("body", "status"), [({"number": 1}, 200), ({"number": "x"}, 422), ({}, 422)]
)
def test_a_page_reads_predictions_and_errors(server: Server, body: dict, status: int) -> None:
    """Also those of the fast path, which writes whole responses."""
    response = server.client.post(PLACE, json=body, headers={"Origin": SHOP})
    assert response.status_code == status
    assert response.headers["access-control-allow-origin"] == SHOP
    assert "slipway-id" in words(response, "access-control-expose-headers")
    same = server.client.post(PLACE, json=body)
    assert same.status_code == status
    assert "access-control-allow-origin" not in same.headers
    other = server.client.post(PLACE, json=body, headers={"Origin": STRANGER})
    assert other.status_code == 403
    assert "access-control-allow-origin" not in other.headers


def test_a_page_reads_every_other_route(server: Server) -> None:
    for path in ("/v1/models", "/v2/models/model", "/v1/live", "/v1/models/none"):
        response = server.client.get(path, headers={"Origin": SHOP})
        assert response.headers["access-control-allow-origin"] == SHOP, path
    origins = response.headers.get_list("access-control-allow-origin")
    assert len(origins) == 1


def test_without_the_setting_no_page_is_permitted(registry: ModelRegistryFixture) -> None:
    with registry.serving() as closed:
        assert preflight(closed, SHOP).status_code in (404, 405)
        response = closed.client.post(PLACE, json={"number": 1}, headers={"Origin": SHOP})
        assert response.status_code == 403
        assert not [name for name in response.headers if name.startswith("access-control")]


def settings(monkeypatch: pytest.MonkeyPatch, origins: str, **more: str) -> Settings:
    for name, value in {"origins": origins, **more}.items():
        monkeypatch.setenv(f"SLIPWAY_PREDICT_{name.upper()}", value)
    return Settings.from_environment()


def test_origins_are_a_list(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert settings(monkeypatch, "").origins == ()
    assert settings(monkeypatch, "*").origins == ("*",)
    several = settings(monkeypatch, f"{SHOP},http://localhost:3000 http://[::1]:8080")
    assert several.origins == (SHOP, "http://localhost:3000", "http://[::1]:8080")


@pytest.mark.parametrize(
    "origins",
    [
        *("shop.example", "https://shop.example/", "https://shop.example/page", "null"),
        *("https://Shop.example", "https://*.example", f"*,{SHOP}", "ftp://shop.example"),
    ],
)
def test_anything_but_an_origin_is_refused(monkeypatch: pytest.MonkeyPatch, origins: str) -> None:
    with pytest.raises(BadSettings, match="SLIPWAY_PREDICT_ORIGINS"):
        settings(monkeypatch, origins)


@pytest.mark.parametrize("more", [{"require_keys": "true"}, {"host": "0.0.0.0"}])
def test_every_origin_is_refused_where_keys_are_needed(
    monkeypatch: pytest.MonkeyPatch, more: dict[str, str]
) -> None:
    with pytest.raises(BadSettings, match="SLIPWAY_PREDICT_ORIGINS.*name the origins"):
        settings(monkeypatch, "*", **more)
    assert settings(monkeypatch, SHOP, **more).origins == (SHOP,)
