"""`python -m infra.locust`: load the model server that `make up` started, and hold it to limits.

Locust's users first, then as many requests a second as told. The exit status is 1 when a limit
is not met, 2 when the server must not be loaded or cannot be.
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
from infra.locust.mix import Ask, NothingToAsk, asks, fetch
from infra.locust.plan import ALLOWED, VARIABLE, Plan, Refused
from slipway import home

DEFAULT = Plan()
LEAVE_SECONDS = 10


def users(plan: Plan, folder: Path) -> int:
    """Locust's run, in a process of its own; its exit status."""
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


def at_rate(plan: Plan, mix: dict[str, list[Ask]], folder: Path) -> int:
    """The open loop; 1 when a limit was not met."""
    found = open_loop.measure(mix, plan)
    (folder / "rate.json").write_text(found.model_dump_json(indent=1) + "\n")
    told = ", ".join(
        f"{name} {value:.3g} ms"
        for name, value in (("p50", found.p50), ("p99", found.p99), ("max", found.max))
        if value is not None
    )
    print(f"{plan.rate:g} requests a second for {plan.seconds:g} s: {told}; errors {found.errors}")
    lines = open_loop.missed(found, plan)
    for line in lines:
        print(line, file=sys.stderr)
    return 1 if lines else 0


def main(
    host: Annotated[str, typer.Option(envvar="SLIPWAY_LOAD_HOST")] = DEFAULT.host,
    number: Annotated[
        int, typer.Option("--users", envvar="SLIPWAY_LOAD_USERS", help="At once")
    ] = DEFAULT.users,
    seconds: Annotated[
        float, typer.Option(envvar="SLIPWAY_LOAD_SECONDS", help="Of each of the two loads")
    ] = DEFAULT.seconds,
    rate: Annotated[
        float, typer.Option(envvar="SLIPWAY_LOAD_RATE", help="Requests a second of the second")
    ] = DEFAULT.rate,
    batch_rows: Annotated[
        int, typer.Option(envvar="SLIPWAY_LOAD_BATCH_ROWS", help="Records of a batch")
    ] = DEFAULT.batch_rows,
    p99_ms: Annotated[
        float, typer.Option(envvar="SLIPWAY_LOAD_P99_MS", help="Limit")
    ] = DEFAULT.limits.p99_ms,
    error_share: Annotated[
        float, typer.Option(envvar="SLIPWAY_LOAD_ERROR_SHARE", help="Limit")
    ] = DEFAULT.limits.error_share,
    key: Annotated[
        str, typer.Option(envvar="SLIPWAY_LOAD_KEY", help="API key of scope predict")
    ] = "",
    anywhere: Annotated[
        bool, typer.Option("--anywhere", envvar=ALLOWED, help="Also another machine's server")
    ] = False,
    folder: Annotated[Path | None, typer.Option(help="For the reports")] = None,
) -> None:
    """Load the model server, and hold it to limits."""
    reports = folder or home.home() / "load"
    try:
        plan = Plan(
            host=host,
            anywhere=anywhere,
            key=key,
            users=number,
            seconds=seconds,
            rate=rate,
            batch_rows=batch_rows,
            limits=Limits(p99_ms=p99_ms, error_share=error_share),
        )
        mix = asks(fetch(plan), plan)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        _leave(f"{'.'.join(map(str, first['loc']))}: {first['msg']}, got {first['input']!r}")
    except (Refused, NothingToAsk) as error:
        _leave(str(error))
    except OSError as error:
        _leave(f"{host} does not answer: {error}; start it: make up")
    reports.mkdir(parents=True, exist_ok=True)
    print(f"{host}: {', '.join(mix)}", flush=True)
    statuses = (users(plan, reports), at_rate(plan, mix, reports))
    print(f"reports: {reports}")
    sys.exit(max(statuses))


def _leave(told: str) -> NoReturn:
    print(f"load: {told}", file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    typer.run(main)
