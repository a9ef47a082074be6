"""Time an unchanged repository as projects are added: `python -m benchmarks.growth`.

Copies of Titanic, trained once, are placed in a separate repository. Frequent commands are timed
over 28 and 150 of them, without any change. Writes growth.json and its table in the README.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.at_rates import README
from infra.load import machine
from slipway import home
from slipway.marks import replace_between
from slipway.repro import dvc_environment

FILE, MARK = Path(__file__).with_name("growth.json"), "growth"
COUNTS = (28, 150)
ORIGIN = "pipelines/ml/titanic"
COMMANDS: Mapping[str, Sequence[str]] = {
    "dvc repro": ("-m", "dvc", "repro", "--quiet"),
    "slipway repro": ("-m", "slipway", "repro"),
    "slipway check": ("-m", "slipway", "check"),
    "slipway list": ("-m", "slipway", "list"),
    "slipway --help": ("-m", "slipway", "--help"),
}


def main() -> None:
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--dry", action="store_true", help="write nothing")
    arguments = options.parse_args()
    machine_info = machine.describe()
    found: dict[str, dict[str, list[float]]] = {name: {} for name in COMMANDS}
    with tempfile.TemporaryDirectory(prefix="slipway-growth-") as name:
        top = Path(name) / "slipway"
        prepare(top)
        for count in COUNTS:
            fill(top, count)
            for args in COMMANDS.values():
                run(top, args)
            for _ in range(arguments.rounds):
                for command, args in COMMANDS.items():
                    found[command].setdefault(str(count), []).append(run(top, args))
    text = table(found, machine_info)
    print(text)
    if not arguments.dry:
        FILE.write_text(json.dumps({"machine": machine_info, "seconds": found}, indent=1) + "\n")
        replace_between(README, MARK, text)


def prepare(top: Path) -> None:
    """Create a repository at `top` with this checkout's files and one trained project."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=home.root(),
        check=True,
        capture_output=True,
        text=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        source, others = home.root() / name, name.startswith(("pipelines/ml", "pipelines/dl"))
        if source.is_file() and (not others or name.startswith(f"{ORIGIN}/")):
            (top / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, top / name)
    subprocess.run(["git", "init", "--quiet"], cwd=top, check=True)
    run(top, ("-m", "dvc", "repro", "--quiet", f"{ORIGIN}/dvc.yaml"))


def fill(top: Path, count: int) -> None:
    """Copy the trained project until there are `count` projects."""
    for number in range(1, count):
        place = top / "pipelines" / "ml" / f"copy_{number:03}"
        if not place.exists():
            shutil.copytree(top / ORIGIN, place)
    # Each README contains the project's name.
    run(top, ("-m", "slipway", "readme"))


def run(top: Path, args: Sequence[str]) -> float:
    """Run this Python with `args` in the repository and return the seconds it took.

    Raises:
        RuntimeError: the command failed; the message holds its output.
    """
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, *args],
        cwd=top,
        env={
            **dvc_environment(),
            "PYTHONPATH": str(top),
            "SLIPWAY_HOME": str(top / ".slipway"),
            "SLIPWAY_MIRROR": str(home.mirror()),
            "DVC_SITE_CACHE_DIR": str(top / ".dvc" / "tmp" / "site"),
            "DVC_NO_ANALYTICS": os.environ.get("DVC_NO_ANALYTICS", "1"),
        },
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(args)}\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    return time.perf_counter() - start


def table(
    found: Mapping[str, Mapping[str, Sequence[float]]],
    machine_info: Mapping[str, str | int | float],
) -> str:
    """Return the table as Markdown: the median of the rounds in seconds, lowest to highest."""
    head = " | ".join(f"{count} projects" for count in COUNTS)
    lines = [f"| command, nothing to do | {head} |", "| --- |" + " ---: |" * len(COUNTS)]
    for command, counts in found.items():
        cells = (
            f"{statistics.median(times):.1f} s ({min(times):.1f} to {max(times):.1f})"
            for times in counts.values()
        )
        lines.append(f"| `{command}` | {' | '.join(cells)} |")
    return "\n".join([*lines, "", f"{machine_info['cpu']}, {machine_info['cores']} cores."])


if __name__ == "__main__":
    main()
