"""`python -m infra.chaos`: inject faults into docker-compose.yml's stack under load.

Needs a Docker engine. The stack is a compose project of its own, on loopback, and is removed at
the end. The exit status is 1 when an expectation is not met, 2 when the stack could not be
started or a fault could not be injected.
"""

import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

from infra.chaos import discover, prepare, results
from infra.chaos.judge import LOOKED_UP, PLAIN
from infra.chaos.load import Load
from infra.chaos.results import Results
from infra.chaos.run import Times, run
from infra.compose.running import Failed
from infra.docker import DockerFault
from slipway import home


def main(
    quick: Annotated[bool, typer.Option("--quick", help="Only four faults")] = False,
    only: Annotated[list[str] | None, typer.Option(help="Name of a fault to run")] = None,
    rate: Annotated[float, typer.Option(min=1, max=500, help="Plain predictions a second")] = 50,
    looked_up_rate: Annotated[
        float, typer.Option(min=1, max=500, help="Predictions with a look-up a second")
    ] = 20,
    build: Annotated[bool, typer.Option(help="Build the images from this checkout first")] = True,
    write: Annotated[
        bool, typer.Option("--write", help="Also write results.json and README")
    ] = False,
    folder: Annotated[Path | None, typer.Option(help="Folder of the table")] = None,
) -> None:
    """Inject faults into the stack under load, and report what callers saw."""
    reports = folder or home.home() / "chaos"
    # As with Ctrl-C, what was started is removed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(2))
    try:
        results_of_run = _run_faults(
            names=list(discover.QUICK) if quick else list(only or []),
            rates={PLAIN: rate, LOOKED_UP: looked_up_rate},
            build=build,
        )
    except (DockerFault, Failed, ValueError) as error:
        print(f"chaos: {error}", file=sys.stderr)
        sys.exit(2)
    results_of_run.write(reports / "results.json")
    (reports / "table.md").write_text(results.table(results_of_run) + "\n")
    if write:
        results_of_run.write(results.COMMITTED)
        results.publish(results_of_run)
    print(results.table(results_of_run))
    print(f"written: {reports / 'table.md'}")
    sys.exit(1 if results_of_run.missed else 0)


def _run_faults(*, names: list[str], rates: dict[str, float], build: bool) -> Results:
    """Start the stack, run the faults and return the results.

    Raises:
        Failed: there is no stack, or a fault could not be injected.
        ValueError: a fault's name is unknown.
    """
    from infra.load import machine

    def say(line: str) -> None:
        print(line, flush=True)

    machine_info = machine.describe()
    with prepare.stack(say, build=build) as (stack, left_out):
        selected = discover.select(discover.faults(stack.config(), left_out=left_out), names)
        key = stack.key("chaos", "predict")
        callers = prepare.callers(stack, rates, key)
        with Load(callers, port=stack.port, key=key):
            outcomes = run(selected, stack, callers, Times(), say)
    return Results(machine=machine_info, rates=rates, left_out=left_out, outcomes=outcomes)


if __name__ == "__main__":
    typer.run(main)
