"""Faults of the registry or the disk unserve nothing, and pass by themselves."""

import shutil
from pathlib import Path

from slipway.contract.shipped import Shipped
from tests.services.fake_models import ModelRegistryFixture, echo
from tests.waiting import until


def test_an_emptied_registry_unserves_nothing(tmp_path: Path) -> None:
    registry = ModelRegistryFixture(tmp_path)
    registry.add("model", echo("model"))
    with registry.serving() as server:
        registry.client.delete_registered_model("model")
        until(lambda: server.client.get("/v1/ready").json()["registry"] != "reached")
        assert server.request("model").status_code == 200
        # A project of its own makes it the right registry again.
        registry.add("other", echo("other"))
        registry.add("model", echo("model"))
        until(lambda: server.client.get("/v1/ready").json()["models"] == 2)
        registry.client.delete_registered_model_alias("other", "champion")
        until(lambda: server.client.get("/v1/ready").json()["models"] == 1)


def test_changes_that_do_not_arrive_are_reported(tmp_path: Path) -> None:
    registry = ModelRegistryFixture(tmp_path)
    registry.add("model", echo("model"))
    with registry.serving() as server:
        [file] = registry.home.rglob("snapshot.json")
        file.write_text("{")

        def state() -> str:
            return server.client.get("/v1/ready").json()["registry"]

        until(lambda: state().startswith("behind for "))
        assert server.request("model").status_code == 200
        metric = "slipway_registry_behind_seconds"
        until(
            lambda: any(
                line.startswith(metric) and float(line.split()[-1]) > 0
                for line in server.client.get("/metrics").text.splitlines()
            )
        )
        # The next change writes the file anew.
        registry.add("other", echo("other"))
        until(lambda: server.request("other").status_code == 200)
        until(lambda: state() == "reached")


def test_another_address_is_followed(tmp_path: Path) -> None:
    first, second = (ModelRegistryFixture(tmp_path / name) for name in ("first", "second"))
    first.add("model", echo("model"))
    second.add("other", echo("other"))
    with first.serving() as server:
        assert server.request("model").status_code == 200
    # The home of the first, with the registry of the second.
    shutil.rmtree(second.home / "predict", ignore_errors=True)
    shutil.copytree(first.home / "predict", second.home / "predict")
    with second.serving() as server:
        until(lambda: server.request("other").status_code == 200)
        assert server.request("model").status_code == 404


def test_a_changed_copy_is_fetched_again_for_the_next_worker(tmp_path: Path) -> None:
    registry = ModelRegistryFixture(tmp_path)
    registry.add("model", echo("model"))
    proof = tmp_path / "was run"
    with registry.serving(workers=1) as server:
        (folder,) = (registry.home / "predict" / "models").glob("[0-9a-f]*/")
        code = Shipped(folder).code
        code.write_text(
            f"{code.read_text()}\nfrom pathlib import Path\nPath({str(proof)!r}).touch()\n"
        )
        (worker,) = server.workers()
        worker.kill()
        until(lambda: [each.pid for each in server.workers()] not in ([], [worker.pid]))
        until(lambda: server.request("model").status_code == 200)
        assert not proof.exists()


HANGING = """
import time
time.sleep(600)
"""


def test_a_try_out_that_hangs_holds_up_no_other_project(tmp_path: Path) -> None:
    registry = ModelRegistryFixture(tmp_path)
    registry.add("model", echo("one"))
    with registry.serving(load_seconds=300) as server:
        registry.add("hanging", echo("hanging") + HANGING)
        until(
            lambda: (
                "tried out" in server.client.get("/v1/models").json()["faults"].get("hanging", "")
            )
        )
        registry.add("model", echo("two"))
        until(lambda: server.predict("model")["version"] == "2")
        assert "tried out" in server.client.get("/v1/models").json()["faults"]["hanging"]
