"""Values that are valid JSON, forms or queries and yet hard to digest are refused, never a 500."""

from collections.abc import Iterator

import pytest

from tests.services.fake_models import ModelRegistryFixture, Server, echo

JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    registry = ModelRegistryFixture(tmp_path_factory.mktemp("values"))
    registry.add("model", echo("model"))
    registry.add("model", echo("other"), alias="challenger")
    with registry.serving() as running:
        yield running


@pytest.fixture
def identifier(server: Server) -> str:
    return server.predict("model")["id"]


@pytest.mark.parametrize(
    "label",
    [
        '{"\\ud800": 1}',
        '{"number": "\\udfff"}',
        '{"number": 1e400}',
        '{"number": NaN}',
        '{"number": ' + "9" * 5000 + "}",
        "{" + '"a":{' * 500 + "}" * 501,
        '{"number": 1, "number": 2, "": 3}',
    ],
)
def test_labels(server: Server, identifier: str, label: str) -> None:
    body = f'{{"id": "{identifier}", "label": {label}}}'
    answer = server.client.post("/v1/feedback", content=body, headers=JSON)
    assert 400 <= answer.status_code < 500, answer.text


@pytest.mark.parametrize("reward", ["1e308", "-1e308", "1e400", "NaN", "1e30"])
def test_rewards_keep_the_comparison_alive(server: Server, reward: str) -> None:
    for _ in range(4):
        body = f'{{"id": "{server.predict("model")["id"]}", "reward": {reward}}}'
        answer = server.client.post("/v1/feedback", content=body, headers=JSON)
        assert answer.status_code in (400, 422), answer.text
    assert server.client.get("/v1/models/model/comparison").status_code == 200


@pytest.mark.parametrize("effect", ["inf", "nan", "1e308", "5e-324", "-1", "0", "1e-300"])
def test_effects(server: Server, effect: str) -> None:
    query = {"smallest_effect": effect}
    answer = server.client.get("/v1/models/model/comparison", params=query)
    assert answer.status_code == 422, answer.text


@pytest.mark.parametrize(
    "charset", ["utf-7", "unicode_escape", "raw_unicode_escape", "undefined", "idna", "rot13", "\\"]
)
def test_charsets_of_forms(server: Server, charset: str) -> None:
    body = b'--x\r\nContent-Disposition: form-data; name="number"\r\n\r\n\\ud8001\r\n--x--\r\n'
    kind = f"multipart/form-data; boundary=x; charset={charset}"
    answer = server.client.post(
        "/v1/models/model/predict", content=body, headers={"Content-Type": kind}
    )
    assert 400 <= answer.status_code < 500, answer.text


@pytest.mark.parametrize(
    "path",
    [
        "/v1/models/%ff%fe/predict",
        "/v1/models/model/comparison?credible=%ff",
        "/v1/records/%00",
        "/v1/predictions/00000000-0000-0000-0000-000000000000%00",
        "/try/%2e%2e%2f%2e%2e",
        "/site/x/..%2f..%2fapp.py",
        "/v1/jobs/..%2f..%2fkeys",
        "/v2/models/model/versions/%20/ready",
    ],
)
def test_paths(server: Server, path: str) -> None:
    for method in ("GET", "POST", "DELETE"):
        assert server.client.request(method, path).status_code < 500


def test_nothing_failed_inside(server: Server) -> None:
    assert server.metric('slipway_requests_total status="500"') == 0
