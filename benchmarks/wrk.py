"""Run the closed loop with wrk, which needs less CPU than our generator; checks statuses only."""

import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from infra.load.generator import Figures

SCRIPT = Path(__file__).with_suffix(".lua")


def present() -> bool:
    return shutil.which("wrk") is not None


def closed(
    address: str, bodies: Sequence[bytes], *, connections: int, seconds: float, scratch: Path
) -> Figures:
    """Send JSON bodies to `address` on one thread; `scratch` is a file to write them into.

    Raises:
        subprocess.SubprocessError: wrk failed or hung.
    """
    scratch.write_bytes(b"".join(body + b"\n" for body in bodies))
    duration = max(1, round(seconds))
    done = subprocess.run(
        [
            *("wrk", "-t", "1", "-c", str(connections), "-d", f"{duration}s", "--timeout", "5s"),
            *("-s", str(SCRIPT), address, "--", str(scratch)),
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=duration + 30,
    )
    summary = json.loads(done.stdout.strip().splitlines()[-1])
    failed = {"status": summary["status"], "connection": summary["connection"]}
    return Figures(
        per_second=(summary["requests"] - summary["status"]) / (summary["microseconds"] / 1e6),
        **{name: summary[name] / 1000 for name in ("p50", "p99", "p999", "max")},
        errors={kind: count for kind, count in failed.items() if count},
        busy=None,
        late=0.0,
    )
