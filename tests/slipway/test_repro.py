"""DVC, run for several projects at once."""

import time
from pathlib import Path
from threading import Timer

import yaml
import zc.lockfile

from slipway.repro import dvc


def test_a_run_waits_while_another_holds_the_lock(tmp_path: Path) -> None:
    told: list[str] = []
    assert dvc("init", "--no-scm", "--quiet", tell=told.append, folder=tmp_path) == 0, told
    stage = {"cmd": "echo done > made.txt", "outs": ["made.txt"]}
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"make": stage}}))
    (tmp_path / ".dvc" / "tmp").mkdir(exist_ok=True)
    held = zc.lockfile.LockFile(str(tmp_path / ".dvc" / "tmp" / "lock"))
    # Twice as long as DVC waits by itself.
    seconds, start = 6.0, time.monotonic()
    Timer(seconds, held.close).start()
    assert dvc("repro", tell=told.append, folder=tmp_path) == 0, told
    assert time.monotonic() - start >= seconds
    assert (tmp_path / "made.txt").read_text() == "done\n"
