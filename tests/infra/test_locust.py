"""Load by users and at a fixed rate, on a real server; Locust runs in separate processes."""

import csv
import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from infra.load.generator import Figures
from infra.locust import open_loop
from infra.locust.limits import Limits
from infra.locust.mix import SINGLES, NoExamples, build_requests, shuffled
from infra.locust.plan import ALLOWED, VARIABLE, LoadPlan, TargetRefused
from slipway import home
from tests.conftest import ROOT
from tests.services.fake_models import ModelRegistryFixture, Server, code, echo
from tests.waiting import until

# The change of these files runs the tests; see tests/by_change.py.
CONCERNS = ("infra/locust/*", "infra/load/*")

# Limits that every machine meets, so that the result does not depend on timing.
GENEROUS = ("--p99-ms", "60000", "--error-share", "0")
SLOW_MS, SHORT_MS = 30, 5
SLOW = f"""
    import time
    time.sleep({SLOW_MS / 1000})
    return [Answer(number=each.number, model="slow") for each in model_input]
"""
FAILING_ROWS = 7
FAILS_ON_BATCH = f"""
    if len(model_input) == {FAILING_ROWS}:
        raise RuntimeError("seven")
    return [Answer(number=each.number, model="failing") for each in model_input]
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    fake_models = ModelRegistryFixture(tmp_path_factory.mktemp("locust") / "fake_models")
    models = {"healthy": echo("healthy"), "slow": code(SLOW), "failing": code(FAILS_ON_BATCH)}
    for name, model in models.items():
        fake_models.add(name, model)
    with fake_models.serving() as found:
        until(lambda: len(found.client.get("/v1/models").json()["models"]) == len(models))
        yield found


def ran(*words: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    kept = {name: value for name, value in os.environ.items() if "SLIPWAY_LOAD" not in name}
    return subprocess.run(
        [sys.executable, "-m", *words],
        cwd=ROOT,
        env={**kept, **variables},
        capture_output=True,
        text=True,
        timeout=600,
    )


def load(server: Server, folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    usual = ("--host", server.address, "--users", "10", "--seconds", "3", "--rate", "40")
    return ran("infra.locust", *usual, "--folder", str(folder), *words)


def test_both_loads_reach_every_project_and_limits_are_met(server: Server, tmp_path: Path) -> None:
    names = ("healthy", "slow", "failing")
    before = {name: server.metric(f'slipway_rows_total project="{name}"') for name in names}
    done = load(server, tmp_path, *GENEROUS)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "limit not met" not in done.stderr
    with (tmp_path / "users_stats.csv").open() as stream:
        rows = {row["Name"]: row for row in csv.DictReader(stream)}
    names_of_requests = {
        f"{name}, {records}" for name in names for records in ("one record", "4 records")
    }
    assert rows.keys() - {"Aggregated"} == names_of_requests
    assert rows["Aggregated"]["Failure Count"] == "0"
    assert "<html" in (tmp_path / "users.html").read_text()
    found = Figures.model_validate_json((tmp_path / "rate.json").read_text())
    assert found.errors == {}
    assert found.p99 is not None
    for name in names:
        answered = server.metric(f'slipway_rows_total project="{name}"') - before[name]
        by_users = sum(
            int(rows[each]["Request Count"]) * (1 if each.endswith("one record") else 4)
            for each in names_of_requests
            if each.startswith(name)
        )
        # The other figures come from the open loop.
        assert answered > by_users > 0


def test_a_latency_over_the_limit_fails_both_runs(server: Server, tmp_path: Path) -> None:
    done = load(server, tmp_path, "--p99-ms", str(SHORT_MS))
    assert done.returncode == 1, done.stdout + done.stderr
    figures = re.findall(
        rf"^limit not met: p99 <= {SHORT_MS} ms, got ([\d.e+]+) ms$", done.stderr, re.M
    )
    assert len(figures) == 2, done.stderr
    assert all(float(each) >= 0.9 * SLOW_MS for each in figures)


def test_requests_that_fail_are_errors_whatever_else_is_well(
    server: Server, tmp_path: Path
) -> None:
    words = ("--p99-ms", "60000", "--error-share", "0.001", "--batch-rows", str(FAILING_ROWS))
    done = load(server, tmp_path, *words)
    assert done.returncode == 1, done.stdout + done.stderr
    figures = re.findall(
        r"^limit not met: errors <= 0.1%, got [\d.]+% \((\d+) of", done.stderr, re.M
    )
    assert len(figures) == 2, done.stderr
    assert all(int(each) > 0 for each in figures)
    assert "status 500" in (tmp_path / "users_failures.csv").read_text()
    assert set(json.loads((tmp_path / "rate.json").read_text())["errors"]) == {"500"}


# The allowed servers and durations.


@pytest.mark.parametrize(
    "host", ["http://example.org:8000", "http://192.0.2.1", "http://localhost.example.org"]
)
def test_a_foreign_host_is_refused(host: str) -> None:
    with pytest.raises(TargetRefused, match=f"is not this machine.*{ALLOWED}=1"):
        LoadPlan(host=host).check()
    LoadPlan(host=host, anywhere=True).check()


@pytest.mark.parametrize("host", ["https://127.0.0.1", "ftp://127.0.0.1", "127.0.0.1:8000", ""])
def test_what_is_no_plain_http_address_is_refused(host: str) -> None:
    with pytest.raises(TargetRefused, match="must have the form http://HOST:PORT"):
        LoadPlan(host=host, anywhere=True).check()


@pytest.mark.parametrize("host", ["http://localhost:1", "http://127.0.0.1:1/", "http://[::1]:1"])
def test_this_machine_is_not_refused(host: str) -> None:
    LoadPlan(host=host).check()


def test_neither_way_to_start_it_lets_a_foreign_host_pass() -> None:
    foreign = "http://192.0.2.1:8000"
    direct = ("locust", "--headless", "--locustfile", "infra/locust/locustfile.py")
    for words in (("infra.locust",), direct):
        done = ran(*words, "--host", foreign)
        assert done.returncode == 2, done.stdout + done.stderr
        assert "192.0.2.1 is not this machine" in done.stderr


def test_locusts_pages_are_not_served(server: Server) -> None:
    port = str(home.PORTS["predict"] + 89)
    words = ("--locustfile", "infra/locust/locustfile.py", "--web-host", home.LOOPBACK)
    done = ran("locust", *words, "--web-port", port, "--host", server.address)
    assert done.returncode != 0
    assert "run it with --headless" in done.stderr


def test_locust_alone_ends_by_itself(server: Server) -> None:
    plan = LoadPlan(seconds=2, limits=Limits(p99_ms=60_000, error_share=0))
    words = ("--headless", "--users", "4", "--spawn-rate", "4", "--host", server.address)
    done = ran(
        *("locust", "--locustfile", "infra/locust/locustfile.py", *words),
        **{VARIABLE: plan.model_dump_json()},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Aggregated" in done.stdout + done.stderr


def test_a_server_that_is_not_there_is_named() -> None:
    done = ran("infra.locust", "--host", "http://127.0.0.1:1")
    assert done.returncode == 2
    assert "http://127.0.0.1:1 does not respond" in done.stderr
    assert "make up" in done.stderr


@pytest.mark.parametrize(
    "wrong",
    [
        {"users": 0},
        {"seconds": 4000},
        {"rate": 0},
        {"batch_rows": 1},
        {"secs": 3},
        {"key": "a\r\nHost: b"},
        {"limits": {"p99": 5}},
        {"limits": {"error_share": 2}},
    ],
)
def test_a_plan_that_cannot_be_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        LoadPlan.model_validate(wrong)


# The requests.


def document(**examples: list[Any]) -> dict[str, Any]:
    def operation(records: list[Any]) -> dict[str, Any]:
        named = {f"example {n}": {"value": record} for n, record in enumerate(records)}
        return {"post": {"requestBody": {"content": {"application/json": {"examples": named}}}}}

    paths = {f"/v1/models/{name}/predict": operation(own) for name, own in examples.items()}
    return {"paths": {"/v1/models/{name}/explain": {"post": {}}, **paths}}


def test_most_requests_hold_one_record_and_no_project_is_favoured() -> None:
    plan = LoadPlan(batch_rows=4)
    mix = build_requests(document(one=[{"a": 1}], many=[{"b": n} for n in range(30)]), plan)
    assert set(mix) == {"one", "many"}
    assert [json.loads(each.body) for each in mix["one"]] == [{"a": 1}] * SINGLES + [[{"a": 1}] * 4]
    assert {each.rows for each in mix["many"]} == {1, 4}
    sent = {each.body for each in mix["many"] if each.rows == 1}
    assert sent == {json.dumps({"b": n}).encode() for n in range(30)}
    order = shuffled(mix, seed=1)
    counts = Counter(each.project for each in order)
    assert counts["one"] == counts["many"]
    assert counts.total() == len(mix["many"]) * 2
    # In rounds, so that a short run includes every project.
    pairs = zip(order[::2], order[1::2], strict=True)
    assert all({a.project, b.project} == {"one", "many"} for a, b in pairs)
    assert {each.body for each in order} == {each.body for own in mix.values() for each in own}
    assert order == shuffled(mix, seed=1)
    assert order != shuffled(mix, seed=2)


@pytest.mark.parametrize("nothing", [document(), document(empty=[])])
def test_a_server_without_examples_is_reported(nothing: dict[str, Any]) -> None:
    with pytest.raises(NoExamples, match="serves no model"):
        build_requests(nothing, LoadPlan())


def test_the_key_goes_with_every_request_and_into_no_text() -> None:
    plan = LoadPlan(key="s3cret")
    [*_, last] = build_requests(document(one=[{"a": 1}]), plan)["one"]
    head, _, body = open_loop.raw(last, plan).partition(b"\r\n\r\n")
    assert b"X-API-Key: s3cret" in head
    assert body == last.body
    assert "s3cret" not in repr(plan)


# The limits.


def test_the_limits_are_the_objectives() -> None:
    assert Limits() == Limits(p99_ms=200, error_share=0.001)


@pytest.mark.parametrize(
    ("p99", "failed", "requests", "lines"),
    [
        (5.0, 0, 100, []),
        (5.0, 1, 100, []),
        (12.0, 0, 100, ["limit not met: p99 <= 5 ms, got 12 ms"]),
        (1.0, 3, 96, ["limit not met: errors <= 1%, got 3.12% (3 of 96 requests)"]),
        (None, 0, 0, ["limit not met: a request gets a response, got none"]),
        (None, 4, 4, ["limit not met: a request gets a response, got none"]),
    ],
)
def test_missed_limits_are_reported(
    p99: float | None, failed: int, requests: int, lines: list[str]
) -> None:
    assert (
        Limits(p99_ms=5, error_share=0.01).missed(p99_ms=p99, failed=failed, requests=requests)
        == lines
    )
