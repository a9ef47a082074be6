"""The command `slipway score`, on a registry of its own."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pyarrow.parquet as pq
import pytest

from tests.conftest import ROOT
from tests.services.fake_models import ModelRegistryFixture, code
from tests.services.predict.batch.batch_models import read_json_lines, write_numbers
from tests.waiting import until

# The change of these files runs the tests; see tests/by_change.py.
CONCERNS = ("services/predict/batch/*", "services/predict/commands.py")

# A shell without job control starts background jobs with SIGINT ignored, which child processes
# inherit. Without the first lines the command could not be interrupted when the tests run as such a
# job.
COMMAND = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from slipway import cli
if "score" not in [each.callback.__name__ for each in cli.app.registered_commands]:
    from services.predict.batch.commands import score
    cli.app.command()(score)
cli.main()
"""


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> ModelRegistryFixture:
    registry = ModelRegistryFixture(tmp_path_factory.mktemp("registry"))
    slowly = """
        import time
        time.sleep(0.05)
        return [Answer(number=2 * each.number, model="slow") for each in model_input]
    """
    registry.add("twice", code(dedent(slowly)))
    quick = 'return [Answer(number=3 * each.number, model="quick") for each in model_input]'
    registry.add("twice", code(quick), alias=None)
    return registry


def command(registry: ModelRegistryFixture, *arguments: object) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", COMMAND, "score", *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, **registry.variables()},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_the_same_command_resumes_after_an_interrupt(
    registry: ModelRegistryFixture, tmp_path: Path
):
    source, target = write_numbers(tmp_path / "in.csv", 100_000), tmp_path / "out.parquet"
    work = tmp_path / "out.parquet.work"
    arguments = ["twice", source, target, "--keep", "id", "--rows-per-part", 1000]
    process = command(registry, *arguments)
    until(lambda: len(list(work.glob("part-*.parquet"))) >= 3)
    process.send_signal(signal.SIGINT)
    out, errors = process.communicate(timeout=600)
    assert process.returncode == 130, errors
    assert "Stopped. Run the same command again to resume." in errors
    assert "rows/s" in errors or "rows, 0 bad" in errors
    assert not target.exists()

    process = command(registry, *arguments, "--version", 2)
    out, errors = process.communicate(timeout=600)
    assert process.returncode == 1
    assert "version was 1, is 2; digest was" in errors
    assert "start over: --fresh" in errors
    assert "Traceback" not in errors

    process = command(registry, *arguments)
    out, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors
    assert "100,000 rows (" in out
    assert "from an earlier run) by twice v1, 0 bad" in out
    table = pq.read_table(target)
    assert table["id"].to_pylist() == [f"row {n}" for n in range(100_000)]
    assert set(table["model"].to_pylist()) == {"slow"}
    assert not work.exists()


def test_the_command_accepts_a_version_and_reports_errors(
    registry: ModelRegistryFixture, tmp_path: Path
):
    source, target = write_numbers(tmp_path / "in.csv", 10), tmp_path / "out.jsonl"
    process = command(registry, "twice", source, target, "--keep", "id", "--version", 2)
    _, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors
    assert [row["number"] for row in read_json_lines(target)] == [3.0 * n for n in range(10)]
    process = command(registry, "twice", source, target, "--version", 2)
    _, errors = process.communicate(timeout=600)
    assert process.returncode == 1
    assert errors.endswith("name them in keep, or remove them. The inputs are number, who\n")
    assert not (tmp_path / "out.jsonl.work").exists()
    process = command(registry, "nobody", source, target)
    _, errors = process.communicate(timeout=600)
    assert process.returncode == 1
    assert "nobody has no champion in" in errors


def test_the_command_does_not_run_a_modified_model(registry: ModelRegistryFixture, tmp_path: Path):
    version = registry.add("tampered", code("return []"))
    file = registry.artifact("tampered", version) / "model.py"
    file.write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n{file.read_text()}")
    process = command(
        registry, "tampered", write_numbers(tmp_path / "in.csv", 10), tmp_path / "out.csv"
    )
    _, errors = process.communicate(timeout=600)
    assert process.returncode == 1
    assert "none of it was run" in errors
    assert not (tmp_path / "ran").exists()
