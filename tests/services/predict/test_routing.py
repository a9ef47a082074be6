"""Traffic split among versions, changed while the server runs."""

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator

import pytest

from slipway import home
from slipway.access import audit, keys
from slipway.predictions import reader
from tests.conftest import ROOT
from tests.services.fake_models import ModelRegistryFixture, Server, code, echo
from tests.waiting import until


@pytest.fixture(scope="module")
def fake_models(tmp_path_factory: pytest.TempPathFactory) -> ModelRegistryFixture:
    fake_models = ModelRegistryFixture(tmp_path_factory.mktemp("routing"))
    for alias in ("champion", "challenger", "shadow"):
        fake_models.add("model", echo(alias), alias=alias)
    return fake_models


@pytest.fixture(scope="module")
def server(fake_models: ModelRegistryFixture) -> Iterator[Server]:
    with fake_models.serving(workers=2) as running:
        yield running


@pytest.fixture(scope="module")
def admin(fake_models: ModelRegistryFixture) -> dict[str, str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLIPWAY_HOME", str(fake_models.home))
        _, text = keys.create("admin", ["admin"])
    return {"Authorization": f"Bearer {text}"}


@pytest.fixture
def policy(server: Server, admin: dict[str, str]) -> Iterator:
    def change(**fields: object) -> None:
        response = server.client.patch("/v1/admin/models/model/policy", json=fields, headers=admin)
        assert response.status_code == 200, response.text
        time.sleep(1)  # the other worker looks every tenth of a second

    yield change
    change(challenger=0, key=None, salt="", shadow=0)


def variants(server: Server, count: int, **more) -> Counter:
    return Counter(server.predict("model", **more)["variant"] for _ in range(count))


def test_everything_goes_to_the_champion_at_first(server: Server) -> None:
    response = server.predict("model")
    assert (response["version"], response["variant"]) == ("1", "champion")
    assert response["predictions"][0]["model"] == "champion"
    assert variants(server, 50) == {"champion": 50}


def test_a_canary_gets_its_share(server: Server, policy) -> None:
    policy(challenger=25)
    seen = variants(server, 800)
    # Six standard deviations: fails by chance once in five hundred million runs.
    assert 200 - 74 < seen["challenger"] < 200 + 74
    answers = {server.predict("model")["version"] for _ in range(60)}
    assert answers == {"1", "2"}


def test_a_key_always_gets_the_same_version(server: Server, policy) -> None:
    policy(challenger=50)

    def variant_of(key: str) -> str:
        return server.predict("model", headers={"Slipway-Key": key})["variant"]

    first = {f"customer {n}": variant_of(f"customer {n}") for n in range(60)}
    assert set(first.values()) == {"champion", "challenger"}
    assert all(variant_of(key) == variant for key, variant in first.items() for _ in range(3))
    policy(challenger=80)
    # Keys of the challenger stay with it when its share grows.
    assert all(variant_of(key) == "challenger" for key, was in first.items() if was == "challenger")
    policy(challenger=50, salt="second test")
    assert {key: variant_of(key) for key in first} != first


def test_a_field_of_the_record_can_be_the_key(server: Server, policy) -> None:
    policy(challenger=50, key="who")

    def variant_of(who: str | None) -> str:
        body = {"number": 1, "who": who}
        return server.client.post("/v1/models/model/predict", json=body).json()["variant"]

    seen = {who: variant_of(who) for who in map(str, range(40))}
    assert set(seen.values()) == {"champion", "challenger"}
    assert all(variant_of(who) == variant for who, variant in seen.items())
    assert {variant_of(None) for _ in range(40)} == {"champion", "challenger"}


def test_a_shadow_is_logged_and_never_returned(
    server: Server, fake_models: ModelRegistryFixture, policy
) -> None:
    policy(shadow=100)
    ids = set()
    for _ in range(30):
        response = server.predict("model")
        assert response["variant"] == "champion"
        ids.add(response["id"])

    def shadowed() -> set[str]:
        logged = reader.records(fake_models.home / "predictions")
        return {each["of"] for each in logged if each["variant"] == "shadow"}

    until(lambda: ids <= shadowed())
    logged = [
        each for each in reader.records(fake_models.home / "predictions") if each.get("of") in ids
    ]
    assert {each["outputs"][0]["model"] for each in logged} == {"shadow"}
    assert {each["version"] for each in logged} == {"3"}


def test_a_slow_shadow_slows_nobody(
    server: Server, fake_models: ModelRegistryFixture, policy
) -> None:
    slow = """
        import time
        time.sleep(3)
        return [Answer(number=0, model="slow") for _ in model_input]
    """
    fake_models.add("slow_shadow", echo("fast"))
    fake_models.add("slow_shadow", code(slow), alias="shadow")
    fake_models.client.set_registered_model_tag(
        "slow_shadow", "slipway.policy", '{"shadow": 100, "queue": 5}'
    )
    until(lambda: server.request("slow_shadow").status_code == 200)
    until(lambda: "slow_shadow" in json.dumps(server.client.get("/v1/models").json()))
    until(lambda: "shadow" in listed(server, "slow_shadow")["variants"])
    start = time.monotonic()
    for _ in range(40):
        assert server.predict("slow_shadow")["predictions"][0]["model"] == "fast"
    # A request that waited for its shadow would take three seconds.
    assert time.monotonic() - start < 40 * 3 / 2

    def dropped() -> bool:
        """Return whether requests that did not fit into the shadow's queue were dropped.

        The alias may reach a worker before the policy does, so more requests are sent.
        """
        for _ in range(20):
            server.predict("slow_shadow")
        return server.metric("slipway_shadow_dropped_total slow_shadow") > 0

    until(dropped)


def listed(server: Server, name: str) -> dict:
    """Return the project as the server lists it."""
    every = server.client.get("/v1/models").json()["models"]
    return next((each for each in every if each["name"] == name), {"variants": {}})


def test_the_champion_responds_when_the_challenger_fails(
    server: Server, fake_models: ModelRegistryFixture, admin: dict[str, str]
) -> None:
    fake_models.add("fragile", echo("steady"))
    broken = code(
        "if model_input[0].number > 1: raise RuntimeError('no')\n"
        "return [Answer(number=each.number, model='fragile') for each in model_input]"
    )
    fake_models.add("fragile", broken, alias="challenger")
    fake_models.client.set_registered_model_tag("fragile", "slipway.policy", '{"challenger": 100}')
    until(lambda: listed(server, "fragile")["variants"].get("challenger") == "2")
    until(lambda: server.predict("fragile", 1)["variant"] == "challenger")
    for _ in range(20):
        response = server.predict("fragile", 5)
        assert response["variant"] == "champion"
        assert response["predictions"][0]["model"] == "steady"
    failed = 'slipway_requests_total project="fragile" status="500" variant="challenger"'
    assert server.metric(failed) >= 20


def test_administration_needs_a_key_with_its_scope(
    server: Server, fake_models: ModelRegistryFixture
) -> None:
    place = "/v1/admin/models/model/policy"
    assert server.client.patch(place, json={"challenger": 1}).status_code == 401
    wrong = {"Authorization": "Bearer slw_00000000_" + "A" * 43}
    assert server.client.patch(place, json={"challenger": 1}, headers=wrong).status_code == 401
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLIPWAY_HOME", str(fake_models.home))
        _, text = keys.create("caller", ["predict"])
    lesser = {"Authorization": f"Bearer {text}"}
    until(lambda: server.request("model", headers=lesser).status_code == 200)
    assert server.client.patch(place, json={"challenger": 1}, headers=lesser).status_code == 403


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"challenger": 101}, "challenger"),
        ({"challenger": "half"}, "challenger"),
        ({"colour": 1}, "colour"),
        ({"since": 1}, "since"),
        ({"key": "No Field"}, "key"),
    ],
)
def test_an_invalid_change_is_refused(
    server: Server, admin: dict[str, str], change: dict, message: str
) -> None:
    response = server.client.patch("/v1/admin/models/model/policy", json=change, headers=admin)
    assert response.status_code == 422, response.text
    assert message in response.json()["detail"]


def test_variants_are_assigned_and_on_record(
    server: Server,
    fake_models: ModelRegistryFixture,
    admin: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fake_models.add("changing", echo("one"))
    fake_models.add("changing", echo("two"), alias=None)
    until(lambda: server.request("changing").status_code == 200)
    place = "/v1/admin/models/changing/variants"
    response = server.client.put(f"{place}/champion", json={"version": "2"}, headers=admin)
    assert response.status_code == 200, response.text
    until(lambda: all(server.predict("changing")["version"] == "2" for _ in range(10)))
    for version, status in (("9", 422), ("0", 422), ("two", 422)):
        assignment = {"version": version}
        response = server.client.put(f"{place}/champion", json=assignment, headers=admin)
        assert response.status_code == status, response.text
    assert server.client.delete(f"{place}/champion", headers=admin).status_code == 422
    monkeypatch.setenv("SLIPWAY_HOME", str(fake_models.home))
    (entry,) = [each for each in audit.entries() if each["target"] == "changing champion"]
    assert entry["detail"] == {"version": "2", "before": "1"}
    assert entry["actor"].startswith("key ")
    from slipway.registry import promotions

    (promotion,) = promotions.history("changing")
    assert promotion["version"] == "2"


def test_the_command_line_does_the_same(server: Server, fake_models: ModelRegistryFixture) -> None:
    fake_models.add("commanded", echo("one"))
    fake_models.add("commanded", echo("two"), alias=None)
    until(lambda: server.request("commanded").status_code == 200)

    def slipway(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "slipway", *words],
            cwd=ROOT,
            env={**os.environ, **fake_models.variables(), **home.TELEMETRY_OFF},
            capture_output=True,
            text=True,
        )

    refused = slipway("policy", "set", "commanded", "--challenger", "100")
    assert refused.returncode == 1
    assert "no version of commanded is its challenger" in refused.stderr
    assert slipway("policy", "assign", "commanded", "challenger", "2").returncode == 0
    done = slipway("policy", "set", "commanded", "--challenger", "100")
    assert done.returncode == 0, done.stderr
    until(lambda: server.predict("commanded")["version"] == "2")
    shown = slipway("policy", "show", "commanded").stdout
    assert "challenger v2" in shown
    assert '"challenger": 100' in shown


def test_an_invalid_policy_leaves_the_previous_one(
    server: Server, fake_models: ModelRegistryFixture
) -> None:
    fake_models.client.set_registered_model_tag("model", "slipway.policy", '{"challenger": 500}')
    until(lambda: "model" in server.client.get("/v1/models").json()["faults"])
    assert "challenger" in server.client.get("/v1/models").json()["faults"]["model"]
    assert variants(server, 20) == {"champion": 20}
    fake_models.client.set_registered_model_tag("model", "slipway.policy", "{}")
    until(lambda: server.client.get("/v1/models").json()["faults"] == {})


def test_feedback_compares_the_variants(server: Server, policy) -> None:
    policy(challenger=50)
    for number in range(60):
        response = server.predict("model", headers={"Slipway-Key": str(number)})
        # The challenger is right, the champion half of the time.
        right = response["variant"] == "challenger" or number % 2
        label = {"id": response["id"], "label": {"number": 1.0}, "reward": float(bool(right))}
        assert server.client.post("/v1/feedback", json=label).status_code == 201
        assert server.client.post("/v1/feedback", json=label).status_code == 200
    comparison = server.client.get("/v1/models/model/comparison").json()
    assert comparison["champion"]["n"] + comparison["challenger"]["n"] == 60
    assert comparison["challenger"]["mean"] == 1.0
    compared = comparison["comparison"]
    assert compared["difference"] == pytest.approx(1 - comparison["champion"]["mean"])
    low, high = compared["credible_interval"]
    assert 0 < low < compared["difference"] < high
    assert compared["probability_b_better"] > 0.99
    assert compared["needed"] is not None
    unknown = "01a1fd9d-a921-87f6-8418-bc12400005de"
    missing = server.client.post("/v1/feedback", json={"id": unknown, "reward": 1})
    assert missing.status_code == 404
    assert missing.json()["title"] == "Unknown prediction"
    nothing = server.client.post("/v1/feedback", json={"id": unknown})
    assert nothing.status_code == 422
    wrong = {"id": response["id"], "label": {"colour": "red"}}
    refused = server.client.post("/v1/feedback", json=wrong)
    assert refused.status_code == 422
    assert "number" in refused.json()["detail"]
