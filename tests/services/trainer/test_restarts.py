"""A trainer and runs that are killed, stopped and restarted, and the limits of a run."""

import psutil
import pytest

from services.jobs import process_tree
from services.monitor.webhook import ActiveAlarm, message
from services.trainer.journal import Journal
from services.trainer.run import RunState
from slipway.home import free_port
from tests.services.server_fixture import TrainingRepository
from tests.services.trainer.alertmanager_notification import notification
from tests.services.trainer.registered_versions import registered_versions
from tests.waiting import until


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> TrainingRepository:
    return TrainingRepository(tmp_path_factory.mktemp("restarts"))


def is_alive(process: psutil.Process) -> bool:
    """Return whether the process runs; a zombie does not."""
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def test_runs_survive_kill_9_of_the_trainer_and_of_themselves(
    repository: TrainingRepository,
) -> None:
    """First the trainer alone: the run goes on. Then the run's first process: it restarts."""
    own_home = repository.home("killed")
    with repository.trainer(own_home, cooldown_seconds=0, runs_per_day=1) as first:
        response = first.http.post(
            "/v1/alerts", json=notification({"labels": {"project": "flowers"}})
        )
        [decision] = response.json()["decisions"]
        assert decision["outcome"] == "started"
        id = decision["run"]
        until(lambda: first.run(id)["stage"] not in (None, "begin"))
        second = repository.command(own_home, free_port())
        assert second.returncode == 1
        assert f"another trainer (process {first.process.pid}) has the queue" in second.stderr
        first.kill()
    assert process_tree.members(id)
    with repository.trainer(own_home, cooldown_seconds=0, runs_per_day=1) as next_one:
        run = next_one.followed(id)
        assert (run["state"], run["attempt"]) == ("succeeded", 1), next_one.log(id)
        assert [each["version"] for each in registered_versions(own_home, "flowers")] == ["1"]
        assert run["trigger"] == "alert"
        again = next_one.http.post(
            "/v1/alerts", json=notification({"labels": {"project": "flowers"}})
        )
        assert [each["outcome"] for each in again.json()["decisions"]] == ["budget"]

        held = next_one.start(
            "flowers", parameters={"prepare": {"every": 4}, "fit": {"seconds": 120.0}}
        )
        until(lambda: next_one.run(held)["stage"] == "fit")
        before = {process.pid for process in process_tree.members(held)}
        driver = min(before, key=lambda pid: psutil.Process(pid).create_time())
        next_one.kill()
    psutil.Process(driver).kill()
    orphans = process_tree.members(held)
    assert orphans
    with repository.trainer(own_home) as last:
        until(lambda: last.run(held)["attempt"] == 2)
        assert not any(map(is_alive, orphans))
        until(lambda: last.run(held)["stage"] == "fit" and last.run(held)["attempt"] == 2)
        run = last.run(held)
        # Prepared once: the second attempt resumed at the interrupted stage.
        assert run["stages_cached"] == ["prepare"]
        assert last.log(held).count("Running stage 'pipelines/ml/flowers/dvc.yaml:prepare'") == 1
    # A trainer that stops ends its runs, and leaves them to the next trainer.
    assert process_tree.members(held) == []
    assert Journal(own_home / "trainer").runs[held].state is RunState.QUEUED


def test_an_alarm_of_the_monitor_starts_a_run_which_is_held_to_its_limits(
    repository: TrainingRepository,
) -> None:
    """The monitor posts its alarms itself where no Alertmanager runs."""
    own_home = repository.home("limits")
    alarm = ActiveAlarm(
        project="flowers", alarm="drift", version="1", started=0.0, summary="3 of 4 fields"
    )
    body = message(alarm, address="http://127.0.0.1:8010")
    with repository.trainer(own_home, run_seconds=1, keep_runs=1) as trainer:

        def post_alarm() -> list[str]:
            response = trainer.http.post("/v1/alerts", json=body)
            return [each["outcome"] for each in response.json()["decisions"]]

        assert post_alarm() == ["started"]
        assert post_alarm() == ["duplicate"]
        [run] = trainer.http.get("/v1/runs").json()["runs"]
        assert (run["trigger"], run["actor"]) == ("alert", "ModelDrift")
        assert run["reason"] == "alert ModelDrift: 3 of 4 fields"
        until(lambda: trainer.run(run["id"])["state"] == "failed")
        outcome = trainer.run(run["id"])["outcome"]
        assert outcome == "took longer than 1 s (SLIPWAY_TRAINER_RUN_SECONDS)"
        assert process_tree.members(run["id"]) == []
        assert post_alarm() == ["cooldown"]

        # The log and commits of the older run are removed; its record stays.
        assert trainer.log(run["id"]).endswith(f"{outcome}\n")
        trainer.http.delete(f"/v1/runs/{trainer.start('petals')}")
        until(lambda: trainer.log(run["id"]) == "")
        assert trainer.run(run["id"])["outcome"] == outcome
        assert run["id"] not in repository.git("for-each-ref", "refs/slipway/runs")
