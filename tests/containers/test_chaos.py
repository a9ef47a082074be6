"""The shortest run of faults under load, through the command itself: two minutes, and the start."""

import os
import subprocess
import sys
from pathlib import Path

from infra.chaos.discover import QUICK
from infra.chaos.prepare import PROJECT
from infra.chaos.results import Results
from infra.compose.running import BASE
from infra.docker import docker
from tests.conftest import ROOT
from tests.containers.docker import inspected

OURS = f"label=com.docker.compose.project={PROJECT}"


def chaos(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "infra.chaos", "--folder", str(folder), *words],
        cwd=ROOT,
        env={**os.environ, "SLIPWAY_HOME": str(folder / "home")},
        capture_output=True,
        text=True,
        timeout=3000,
    )


def test_a_run_that_goes_on_is_not_disturbed(tmp_path: Path) -> None:
    label = OURS.removeprefix("label=")
    other = docker("run", "--detach", "--label", label, BASE, "sleep", "600")
    try:
        done = chaos(tmp_path, "--quick")
        assert done.returncode == 2
        assert f"the project {PROJECT} exists already" in done.stderr
        assert inspected(other)["State"]["Running"]
    finally:
        docker("rm", "--force", other)


def test_callers_see_what_they_were_promised(tmp_path: Path) -> None:
    done = chaos(tmp_path, "--quick")
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-3000:]
    found = Results.model_validate_json((tmp_path / "results.json").read_text())
    assert [each.fault for each in found.outcomes] == list(QUICK)
    for each in found.outcomes:
        assert each.records.found == each.records.promised > 0
        assert not each.seen["plain"].errors, each.fault
    assert "| kill predict | plain |" in (tmp_path / "table.md").read_text()
    assert not docker("ps", "--all", "--quiet", "--filter", OURS)
    assert not docker("volume", "ls", "--quiet", "--filter", OURS)
