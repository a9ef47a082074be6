"""The monitor: real processes over a real registry and a real prediction log."""

import gzip
import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.monitor.reports import Reports
from services.monitor.rounds import Monitor, NotServed
from services.monitor.settings import Settings
from slipway import home
from slipway.home import free_port
from slipway.predictions.compact import compact
from slipway.predictions.reader import records
from slipway.registry import reference
from tests.conftest import running
from tests.services import shop
from tests.services.zoo import Zoo
from tests.waiting import until
from tests.webhook import Receiver

ROWS = 400
IMPATIENT = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_HTTP_REQUEST_TIMEOUT": "2"}


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver().listening() as held:
        yield held


@pytest.fixture
def zoo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Zoo:
    """A registry with the toy project, whose home is this process's too."""
    zoo = Zoo(tmp_path / "zoo")
    monkeypatch.setenv("SLIPWAY_HOME", str(zoo.home))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", zoo.uri)
    for name, value in IMPATIENT.items():
        monkeypatch.setenv(name, value)
    return zoo


def log_of(zoo: Zoo) -> Path:
    return zoo.home / "predictions"


def settings(**given: Any) -> Settings:
    return Settings(**{"maturity_seconds": 0, "window_rows": ROWS, "reports": 0, **given})


def plant(zoo: Zoo, segment: int, **changed: Any) -> list[str]:
    """Traffic in a segment of its own, as many rows as the window by count has."""
    given = {"segment": segment} | {
        name: changed.pop(name) for name in ("at", "seconds", "version") if name in changed
    }
    rows = changed.pop("rows", ROWS)
    return shop.write_segment(log_of(zoo), shop.traffic(rows, seed=segment, **changed), **given)


def drifted(told: Any, window: str = "count") -> list[str]:
    [found] = [each for each in told["windows"] if each["window"] == window]
    assert found["judged"], found
    return found["drifted"]


def older(record: dict[str, Any], rng: Any) -> float:
    return rng.gauss(60, 12)


class Served:
    def __init__(self, client: httpx.Client, process: Any, log: Path) -> None:
        self.client, self.process, self.log = client, process, log

    def check(self, name: str = shop.NAME) -> dict[str, Any]:
        response = self.client.post(f"/v1/projects/{name}/check")
        assert response.status_code == 200, response.text
        return response.json()

    def metric(self, name: str, **labels: str) -> float | None:
        for row in self.client.get("/metrics").text.splitlines():
            head, _, value = row.rpartition(" ")
            if head.partition("{")[0] == name and all(
                f'{label}="{each}"' in head for label, each in labels.items()
            ):
                return float(value)
        return None


@contextmanager
def served(zoo: Zoo, **given: Any) -> Iterator[Served]:
    """`python -m services.monitor`; its rounds are an hour apart, checks are asked for."""
    port = free_port()
    address = f"http://{home.LOOPBACK}:{port}"
    variables = {
        "interval_seconds": 3600,
        "maturity_seconds": 0,
        "window_rows": ROWS,
        **given,
    }
    env = {
        "SLIPWAY_HOME": str(zoo.home),
        "MLFLOW_TRACKING_URI": given.pop("registry", zoo.uri),
        "SLIPWAY_MONITOR_PORT": str(port),
        **{
            f"SLIPWAY_MONITOR_{key.upper()}": str(value)
            for key, value in variables.items()
            if key != "registry"
        },
        **IMPATIENT,
    }
    log = zoo.folder / f"monitor-{port}.log"
    command = (sys.executable, "-m", "services.monitor")
    with (
        running(*command, env=env, log=log, ready=f"{address}/v1/ready") as process,
        httpx.Client(base_url=address, timeout=60) as client,
    ):
        until(lambda: client.get("/v1/ready").json()["last_round"])
        yield Served(client, process, log)


def test_from_steady_traffic_to_an_alarm_and_back(zoo: Zoo, receiver: Receiver) -> None:
    """The whole way, over HTTP: undrifted, drifted, told, killed, remembered, over."""
    shop.register(zoo, shop.reference_rows(800))
    given = plant(zoo, 0x10)
    sent = [each["inputs"][0] for each in records(log_of(zoo))]
    shop.attach(log_of(zoo), list(zip(given, sent, strict=True)), right=0.85)
    with served(zoo, webhook=receiver.address, windows="count") as monitor:
        steady = monitor.check()
        assert steady["outcome"] == "judged"
        assert drifted(steady) == []
        assert not steady["drift_alarm"]
        assert not steady["performance_alarm"]
        assert steady["performance"]["labelled"] == ROWS
        assert monitor.metric("slipway_monitor_labelled_share", project="shop") == 1
        assert monitor.metric("slipway_monitor_drift_alarm", project="shop") == 0
        assert receiver.notices == []

        plant(zoo, 0x11, age=older)
        found = monitor.check()
        assert {"age", "answer.probability"} <= set(drifted(found))
        assert "country" not in drifted(found)
        [notice] = receiver.notices
        [alert] = notice["alerts"]
        assert (notice["version"], notice["status"], alert["status"]) == ("4", "firing", "firing")
        assert alert["labels"]["alertname"] == "ModelDrift"
        assert alert["labels"]["project"] == "shop"
        assert alert["labels"]["action"] == "retrain"
        assert "age (wasserstein" in alert["annotations"]["summary"]
        assert monitor.metric("slipway_monitor_drift_alarm", project="shop") == 1
        assert monitor.metric("slipway_monitor_drifted", field="age", window="count") == 1
        effect = monitor.metric("slipway_monitor_drift_effect", field="age", window="count")
        assert effect == pytest.approx(20 / 12, rel=0.2)
        assert monitor.metric("slipway_monitor_webhooks_total", outcome="delivered") == 1
        monitor.check()
        assert len(receiver.notices) == 1  # it goes on, and is not told of twice

        look_at_pages(monitor, found)
        os.kill(monitor.process.pid, signal.SIGKILL)
        monitor.process.wait(60)

    with (zoo.home / "monitor" / "history" / "shop.jsonl").open("ab") as stream:
        stream.write(b'{"project": "shop", "ver')  # as a kill in the middle of a line leaves it
    with served(zoo, webhook=receiver.address, windows="count") as monitor:
        # The round after the start looks at the same rows: the same alarm, not a new one.
        told = monitor.client.get("/v1/projects").json()["projects"]
        assert [each["name"] for each in told] == ["shop"]
        assert [each["name"] for each in told[0]["alarms"]] == ["ModelDrift"]
        past = monitor.client.get("/v1/projects/shop/drift").json()["history"]
        # Newest first: the round after the start, two checks, the steady one, the first round.
        assert [each["drift_alarm"] for each in past] == [True, True, True, False, False]
        assert len(receiver.notices) == 1
        plant(zoo, 0x12)
        assert drifted(monitor.check()) == []
        assert [each["status"] for each in receiver.notices] == ["firing", "resolved"]
        assert receiver.notices[1]["alerts"][0]["startsAt"] == alert["startsAt"]
        assert receiver.notices[1]["alerts"][0]["fingerprint"] == alert["fingerprint"]
        assert monitor.client.get("/v1/projects").json()["projects"][0]["alarms"] == []


def look_at_pages(monitor: Served, found: dict[str, Any]) -> None:
    client = monitor.client
    front = client.get("/")
    assert 'href="/projects/shop"' in front.text
    assert "drifted" in front.text
    page = client.get("/projects/shop")
    assert page.status_code == 200
    assert "By country" in page.text
    assert "accuracy" in page.text
    for each in (front, page):
        assert each.headers["content-security-policy"].startswith("default-src 'none'")
        assert each.headers["x-content-type-options"] == "nosniff"
        assert "<script" not in each.text
    report = client.get(f"/v1/projects/shop/reports/{found['report']}")
    assert report.status_code == 200
    assert report.headers["content-security-policy"].startswith("sandbox allow-scripts; default")
    assert "Jensen-Shannon distance" in report.text
    kept = client.get("/v1/projects/shop/reports").json()["reports"]
    assert found["report"] in kept
    for wrong in ("19990101T000000-count", "..%2f..%2fchampions.json", "x"):
        assert client.get(f"/v1/projects/shop/reports/{wrong}").status_code == 404
    unknown = client.get("/v1/projects/nobody/drift")
    assert unknown.status_code == 404
    assert unknown.json()["detail"] == "no champion is called 'nobody'; watched: shop"
    assert client.post("/v1/projects/nobody/check").status_code == 404
    assert client.get("/v1/projects/shop/drift?limit=-1").status_code == 422


def test_the_registry_away_is_said_and_the_kept_reference_is_used(zoo: Zoo) -> None:
    shop.register(zoo, shop.reference_rows(500))
    plant(zoo, 0x10)
    Monitor(settings()).round()
    nowhere = f"http://{home.LOOPBACK}:{free_port()}"
    with served(zoo, registry=nowhere, reports=0) as monitor:
        plant(zoo, 0x11, age=older)
        found = monitor.check()
        assert "age" in drifted(found)
        assert found["registry"].startswith("away: MlflowException")
        assert monitor.metric("slipway_monitor_registry_reachable") == 0
        assert "registry is away" in monitor.client.get("/").text


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("INTERVAL_SECONDS", "0", "SLIPWAY_MONITOR_INTERVAL_SECONDS: Input should be greater"),
        ("WINDOWS", "time,weeks", "SLIPWAY_MONITOR_WINDOWS: Input should be 'time' or 'count'"),
        ("MATURITY", '{"shop": -1}', "SLIPWAY_MONITOR_MATURITY: Input should be greater"),
        ("WEBHOOK", "file:///etc/passwd", "SLIPWAY_MONITOR_WEBHOOK: String should match"),
        ("PORT", "none", "SLIPWAY_MONITOR_PORT must be a port number"),
        ("HOST", "0.0.0.0", "0.0.0.0 can be reached from other machines and there is no API key"),
    ],
)
def test_wrong_settings_are_told_by_name(
    zoo: Zoo, capfd: pytest.CaptureFixture[str], monkeypatch: Any, name: str, value: str, said: str
) -> None:
    from services.monitor.__main__ import main

    monkeypatch.setenv(f"SLIPWAY_MONITOR_{name}", value)
    assert main() == 1
    assert said in capfd.readouterr().err


class TestChecks:
    """In this process, where a check costs no start."""

    def test_undrifted_windows_raise_no_alarm(self, zoo: Zoo) -> None:
        shop.register(zoo, shop.reference_rows(600))
        monitor = Monitor(settings())
        for segment in range(0x10, 0x24):
            plant(zoo, segment)
            monitor.round()
            check = monitor.latest[shop.NAME]
            assert check.outcome == "judged"
            assert not check.drift_alarm, (segment, check.drift_told())
        assert check.windows[0].rows == 20 * ROWS

    def test_only_the_champions_rows_count(self, zoo: Zoo) -> None:
        version = shop.register(zoo, shop.reference_rows(500))
        plant(zoo, 0x10, version=version)
        changed = shop.traffic(ROWS, seed=2, age=older)
        for segment, given in (
            (0x11, {"variant": "challenger"}),
            (0x12, {"variant": "shadow"}),
            (0x13, {"version": "9"}),
            (0x14, {"project": "another"}),
        ):
            shop.write_segment(log_of(zoo), changed, segment=segment, **given)
        monitor = Monitor(settings())
        check = monitor.check(shop.NAME)
        assert [window.rows for window in check.windows] == [ROWS, ROWS]
        assert not check.drift_alarm

    def test_a_new_champion_starts_anew_with_its_own_reference(
        self, zoo: Zoo, receiver: Receiver
    ) -> None:
        """Also with traffic of it that came before the alias was moved back."""
        first = shop.register(zoo, shop.reference_rows(500))
        monitor = Monitor(settings(webhook=receiver.address, windows=("count",)))
        plant(zoo, 0x10, version=first, age=older)
        monitor.round()
        assert monitor.latest[shop.NAME].drift_alarm
        rows = shop.reference_rows(500)
        for row, record in zip(rows, shop.traffic(500, seed=9, age=older), strict=True):
            row.update(record=record, answer=shop.answer(record))
        second = shop.register(zoo, rows)
        plant(zoo, 0x11, version=second, age=older)
        monitor.round()
        check = monitor.latest[shop.NAME]
        assert (check.version, check.drift_alarm) == (second, False)
        assert [each["status"] for each in receiver.notices] == ["firing", "resolved"]
        zoo.client.set_registered_model_alias(shop.NAME, "champion", first)
        monitor.round()
        assert monitor.latest[shop.NAME].drift_alarm
        assert monitor.latest[shop.NAME].windows[0].rows == ROWS

    def test_without_a_reference_it_says_so(self, zoo: Zoo) -> None:
        shop.register(zoo, [])
        check = Monitor(settings()).check(shop.NAME)
        assert check.outcome == "no_reference"
        assert check.note.startswith("version 1 was registered without a reference: train it again")

    def test_few_rows_are_not_judged_and_leave_an_alarm_as_it_is(self, zoo: Zoo) -> None:
        shop.register(zoo, shop.reference_rows(500))
        monitor = Monitor(settings(window_seconds=3600))
        now = time.time()
        plant(zoo, 0x10, rows=60, at=now)
        check = monitor.check(shop.NAME)
        assert check.outcome == "too_few_rows"
        assert check.windows[0].note == "60 rows, at least 100 are needed"
        plant(zoo, 0x11, age=older, at=now)
        assert monitor.check(shop.NAME).drift_alarm
        fresh = Monitor(settings(least_rows=5000))
        assert fresh.check(shop.NAME).outcome == "too_few_rows"
        assert [each.alarm for each in fresh.alarms(shop.NAME)] == ["drift"]

    def test_foreign_records_and_files_hold_nobody_up(self, zoo: Zoo) -> None:
        shop.register(zoo, shop.reference_rows(500))
        [_id, *_] = plant(zoo, 0x10)
        folder = log_of(zoo)
        (folder / "00000099.parquet").write_bytes(b"PAR1")
        (folder / "old-notes.jsonl").write_text("{}\n")
        from slipway.predictions import ids

        offset, lines = 0, []
        for body in (
            {"time": "today", "project": "shop", "version": "1", "variant": "champion"},
            {"project": "shop", "version": "1", "variant": "champion"},
            {"time": 3},
            {
                "time": "2999-01-01T00:00:00Z",
                "project": "shop",
                "version": "1",
                "variant": "champion",
                "inputs": [{}],
                "outputs": [{}],
            },
            {
                "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                "project": "shop",
                "version": "1",
                "variant": "champion",
                "inputs": [7, None, {"age": {"deep": []}, "country": 1e308, "visits": "many"}],
                "outputs": ["x", {}, {"bought": "perhaps", "probability": [1]}],
            },
            {
                "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                "project": "shop",
                "version": "1",
                "variant": "champion",
                "inputs": None,
                "outputs": [{}, {}],
            },
        ):
            made = ids.compose(
                milliseconds=int(time.time() * 1000), count=1, segment=0x77, offset=offset
            )
            text = json.dumps({"id": made, **body}).encode() + b"\n"
            lines.append(text)
            offset += len(text)
        (folder / "00000077.jsonl").write_bytes(b"".join(lines) + b'{"id": "torn')
        monitor = Monitor(settings(windows=("time",)))
        check = monitor.check(shop.NAME)
        assert check.outcome == "judged"
        assert not check.drift_alarm
        assert check.windows[0].rows == ROWS + 1
        assert check.windows[0].unreadable == 4
        assert monitor.traffic.bad_records == 2
        assert monitor.traffic.follower.faults == {"00000099"}

    def test_a_damaged_copy_of_the_reference_is_fetched_again(self, zoo: Zoo) -> None:
        shop.register(zoo, shop.reference_rows(300))
        plant(zoo, 0x10)
        Monitor(settings()).round()
        [file] = (zoo.home / "monitor").rglob(Path(reference.FILE).name)
        whole = file.read_bytes()
        file.write_bytes(whole[: len(whole) // 2])
        monitor = Monitor(settings())
        assert "cannot be read" in monitor.check(shop.NAME).note
        assert monitor.check(shop.NAME).outcome == "judged"
        assert gzip.decompress(file.read_bytes()) == gzip.decompress(whole)

    def test_no_code_of_a_version_is_run(self, zoo: Zoo) -> None:
        trap = zoo.folder / "ran"
        code = f"open({str(trap)!r}, 'w')\n{shop.CODE}"
        shop.register(zoo, shop.reference_rows(300), code=code)
        plant(zoo, 0x10)
        check = Monitor(settings()).check(shop.NAME)
        assert [each.field for each in check.fairness] == ["country"]
        assert not trap.exists()

    def test_labels_count_once_they_are_mature(self, zoo: Zoo, receiver: Receiver) -> None:
        """Early truths are all bad news here; those of old predictions are as they should be."""
        shop.register(zoo, shop.reference_rows(500))
        now = time.time()
        for segment, ago, right in ((0x10, 7200, 0.85), (0x11, 60, 0.1)):
            given = plant(zoo, segment, at=now - ago)
            sent = shop.traffic(ROWS, seed=segment)
            shop.attach(log_of(zoo), list(zip(given, sent, strict=True))[: ROWS // 2], right=right)
        compact(log_of(zoo), seconds=0)
        hour = settings(maturity_seconds=3600, webhook=receiver.address)
        found = Monitor(hour).check(shop.NAME).performance
        assert found is not None
        assert found.labelled == ROWS // 2
        assert found.labelled_share == pytest.approx(0.5)
        assert found.scores[0].value == pytest.approx(0.85, abs=0.08)
        assert found.worse == []
        check = Monitor(settings(maturity={"shop": 0})).check(shop.NAME)
        assert check.performance is not None
        assert check.performance.labelled == ROWS
        assert check.performance_alarm
        monitor = Monitor(settings(webhook=receiver.address))
        monitor.round()
        labels = [notice["alerts"][0]["labels"]["alertname"] for notice in receiver.notices]
        assert labels == ["ModelPerformance"]

    def test_wrong_truths_are_taken_as_they_come(self, zoo: Zoo) -> None:
        """Nothing but what was said can be known; said again, the last counts."""
        shop.register(zoo, shop.reference_rows(500))
        given = plant(zoo, 0x10)
        sent = shop.traffic(ROWS, seed=0x10)
        pairs = list(zip(given, sent, strict=True))
        monitor = Monitor(settings())
        for right, alarm in ((0.1, True), (0.85, False)):
            shop.attach(log_of(zoo), pairs, right=right)
            check = monitor.check(shop.NAME)
            assert check.performance is not None
            assert check.performance.labelled == ROWS
            assert check.performance_alarm == alarm

    def test_groups_are_watched(self, zoo: Zoo) -> None:
        shop.register(zoo, shop.reference_rows(800))
        plant(
            zoo,
            0x10,
            rows=800,
            age=lambda record, rng: 20 if record["country"] == "de" else record["age"],
        )
        check = Monitor(settings()).check(shop.NAME)
        [slices] = check.fairness
        assert slices.field == "country"
        assert slices.gaps["positive_rate"] > 0.4
        assert slices.reference_gaps["positive_rate"] < 0.25

    def test_a_receiver_that_is_away_is_told_later(self, zoo: Zoo, receiver: Receiver) -> None:
        shop.register(zoo, shop.reference_rows(500))
        plant(zoo, 0x10, age=older)
        monitor = Monitor(settings(webhook=receiver.address))
        receiver.status = 503
        monitor.round()
        assert receiver.notices == []
        receiver.status = 202
        again = Monitor(settings(webhook=receiver.address))  # after a restart, too
        again.round()
        assert [each["status"] for each in receiver.notices] == ["firing"]

    def test_history_is_bounded(self, zoo: Zoo) -> None:
        shop.register(zoo, shop.reference_rows(300))
        plant(zoo, 0x10)
        monitor = Monitor(settings(windows=("count",), history_bytes=10_000))
        for _ in range(8):
            monitor.check(shop.NAME)
        folder = zoo.home / "monitor" / "history"
        assert sorted(file.name for file in folder.iterdir()) == [
            "shop.jsonl",
            "shop.jsonl.before",
        ]
        assert sum(file.stat().st_size for file in folder.iterdir()) < 40_000
        assert 3 <= len(monitor.history.checks(shop.NAME, limit=100)) < 8

    def test_a_project_that_is_gone_is_told_of_no_more(self, zoo: Zoo) -> None:
        from services.monitor import publishing

        shop.register(zoo, shop.reference_rows(300))
        plant(zoo, 0x10)
        monitor = Monitor(settings())
        monitor.round()
        assert b'slipway_monitor_drifted{field="age",project="shop"' in publishing.exposition()
        zoo.client.delete_registered_model_alias(shop.NAME, "champion")
        monitor.round()
        assert b'slipway_monitor_drifted{field="age",project="shop"' not in publishing.exposition()
        with pytest.raises(NotServed):
            monitor.check(shop.NAME)

    def test_one_projects_trouble_is_not_the_others(self, zoo: Zoo, monkeypatch: Any) -> None:
        shop.register(zoo, shop.reference_rows(300))
        shop.register(zoo, shop.reference_rows(300), name="broken")
        plant(zoo, 0x10)
        shop.write_segment(log_of(zoo), shop.traffic(200, seed=1), segment=0x20, project="broken")
        (log_of(zoo) / "feedback.db").write_bytes(b"no database at all" * 100)
        monitor = Monitor(settings())
        monitor.round()
        assert {name: each.outcome for name, each in monitor.latest.items()} == {
            "shop": "failed",
            "broken": "failed",
        }
        (log_of(zoo) / "feedback.db").unlink()
        monitor.round()
        assert {each.outcome for each in monitor.latest.values()} == {"judged"}


def test_reports_are_bounded_and_compressed(tmp_path: Path) -> None:
    reports = Reports(tmp_path, keep=2)
    page = "<html>" + "x" * 100_000
    given = [reports.write("shop", "time", page, now=1.7e9 + turn) for turn in range(4)]
    assert reports.ids("shop") == [given[3], given[2]]
    assert reports.newest("shop") == 1.7e9 + 3
    packed = reports.read("shop", given[3])
    assert gzip.decompress(packed).decode() == page
    assert len(packed) < 1000
    for gone in (given[0], "../shop/" + given[3], "x"):
        with pytest.raises(FileNotFoundError):
            reports.read("shop", gone)


def test_with_the_real_model_server(zoo: Zoo) -> None:
    """What a caller sends and leaves out, as the server really records it."""
    shop.register(zoo, shop.reference_rows(500))
    steady = shop.traffic(150, seed=3)
    with zoo.serving() as server:
        for record in steady:
            body = {name: value for name, value in record.items() if value != "basic"}
            server.client.post("/v1/models/shop/predict", json=body).raise_for_status()
        batch = server.client.post("/v1/models/shop/predict", json=shop.traffic(300, seed=4))
        assert batch.status_code == 200, batch.text
        monitor = Monitor(settings())
        check = monitor.check(shop.NAME)
        assert [window.rows for window in check.windows] == [450, ROWS]
        assert not check.drift_alarm, check.drift_told()
        sent = shop.traffic(ROWS, seed=5, country=lambda record, rng: "pl")
        server.client.post("/v1/models/shop/predict", json=sent).raise_for_status()
        until(
            lambda: (
                "country" in {field.field for field in monitor.check(shop.NAME).windows[1].drifted}
            )
        )
