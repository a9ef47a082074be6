"""`python -m infra.locust`: load the model server that `make up` started, and check limits.

Locust's users come first, then requests at a fixed rate. The exit status is 1 when a limit is not
met, 2 when the server must not be loaded or cannot be.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from pydantic import ValidationError

from infra.locust import open_loop
from infra.locust.limits import Limits
from infra.locust.mix import NoExamples, PredictRequest, build_requests, fetch
from infra.locust.plan import ALLOWED, VARIABLE, LoadPlan, TargetRefused
from slipway import home

DEFAULT = LoadPlan()
LEAVE_SECONDS = 10


def users(plan: LoadPlan, folder: Path) -> int:
    """Run Locust in a separate process and return its exit status."""
    command = [
        *(sys.executable, "-m", "locust", "--headless", "--only-summary"),
        *("--locustfile", str(Path(__file__).with_name("locustfile.py"))),
        *("--host", plan.host, "--users", str(plan.users), "--spawn-rate", str(plan.users)),
        *("--run-time", f"{max(1, round(plan.seconds))}s", "--stop-timeout", str(LEAVE_SECONDS)),
        *("--html", str(folder / "users.html"), "--csv", str(folder / "users")),
        *("--loglevel", "WARNING"),
    ]
    variables = {**os.environ, **home.TELEMETRY_OFF, VARIABLE: plan.model_dump_json()}
    return subprocess.run(command, cwd=home.root(), env=variables).returncode


def at_rate(plan: LoadPlan, mix: dict[str, list[PredictRequest]], folder: Path) -> int:
    """Run the open loop; return 1 when a limit was not met."""
    figures = open_loop.measure(mix, plan)
    (folder / "rate.json").write_text(figures.model_dump_json(indent=1) + "\n")
    latencies = ", ".join(
        f"{name} {value:.3g} ms"
        for name, value in (("p50", figures.p50), ("p99", figures.p99), ("max", figures.max))
        if value is not None
    )
    print(
        f"{plan.rate:g} requests a second for {plan.seconds:g} s: {latencies}; errors "
        f"{figures.errors}"
    )
    lines = open_loop.missed(figures, plan)
    for line in lines:
        print(line, file=sys.stderr)
    return 1 if lines else 0


def main(
    host: Annotated[str, typer.Option(envvar="SLIPWAY_LOAD_HOST")] = DEFAULT.host,
    number: Annotated[
        int, typer.Option("--users", envvar="SLIPWAY_LOAD_USERS", help="Number of concurrent users")
    ] = DEFAULT.users,
    seconds: Annotated[
        float, typer.Option(envvar="SLIPWAY_LOAD_SECONDS", help="Duration of each of the two loads")
    ] = DEFAULT.seconds,
    rate: Annotated[
        float, typer.Option(envvar="SLIPWAY_LOAD_RATE", help="Requests a second of the second load")
    ] = DEFAULT.rate,
    batch_rows: Annotated[
        int, typer.Option(envvar="SLIPWAY_LOAD_BATCH_ROWS", help="Records in a batch")
    ] = DEFAULT.batch_rows,
    p99_ms: Annotated[
        float, typer.Option(envvar="SLIPWAY_LOAD_P99_MS", help="Limit of p99 in ms")
    ] = DEFAULT.limits.p99_ms,
    error_share: Annotated[
        float, typer.Option(envvar="SLIPWAY_LOAD_ERROR_SHARE", help="Limit of the failed share")
    ] = DEFAULT.limits.error_share,
    key: Annotated[
        str, typer.Option(envvar="SLIPWAY_LOAD_KEY", help="API key of scope predict")
    ] = "",
    anywhere: Annotated[
        bool, typer.Option("--anywhere", envvar=ALLOWED, help="Allow another machine's server")
    ] = False,
    folder: Annotated[Path | None, typer.Option(help="Folder of the reports")] = None,
) -> None:
    """Load the model server and check the results against limits."""
    reports = folder or home.home() / "load"
    try:
        plan = LoadPlan(
            host=host,
            anywhere=anywhere,
            key=key,
            users=number,
            seconds=seconds,
            rate=rate,
            batch_rows=batch_rows,
            limits=Limits(p99_ms=p99_ms, error_share=error_share),
        )
        mix = build_requests(fetch(plan), plan)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        _abort(f"{'.'.join(map(str, first['loc']))}: {first['msg']}, got {first['input']!r}")
    except (TargetRefused, NoExamples) as error:
        _abort(str(error))
    except OSError as error:
        _abort(f"{host} does not respond: {error}; start it: make up")
    reports.mkdir(parents=True, exist_ok=True)
    print(f"{host}: {', '.join(mix)}", flush=True)
    statuses = (users(plan, reports), at_rate(plan, mix, reports))
    print(f"reports: {reports}")
    sys.exit(max(statuses))


def _abort(message: str) -> NoReturn:
    print(f"load: {message}", file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    typer.run(main)
