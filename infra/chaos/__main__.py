"""`python -m infra.chaos`: break docker-compose.yml's stack under load, and say what callers saw.

Wants a Docker engine. The stack is one of its own, on loopback, and gone at the end. The exit
status is 1 when an expectation is not met, 2 when the stack could not be brought up or broken.
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
from slipway import home
from slipway.docker import DockerFault
from slipway.stack.running import Failed


def main(
    quick: Annotated[bool, typer.Option("--quick", help="Four faults alone")] = False,
    only: Annotated[list[str] | None, typer.Option(help="A fault by its name")] = None,
    rate: Annotated[float, typer.Option(min=1, max=500, help="Plain predictions a second")] = 50,
    looked_up_rate: Annotated[float, typer.Option(min=1, max=500, help="With a look-up")] = 20,
    build: Annotated[bool, typer.Option(help="Build the images from this checkout first")] = True,
    write: Annotated[bool, typer.Option("--write", help="Also results.json and README")] = False,
    folder: Annotated[Path | None, typer.Option(help="For the table")] = None,
) -> None:
    """Break the stack under load, and say what callers saw."""
    reports = folder or home.home() / "chaos"
    # As Ctrl-C: what was started is taken down.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(2))
    try:
        found = _broken(
            names=list(discover.QUICK) if quick else list(only or []),
            rates={PLAIN: rate, LOOKED_UP: looked_up_rate},
            build=build,
        )
    except (DockerFault, Failed, ValueError) as error:
        print(f"chaos: {error}", file=sys.stderr)
        sys.exit(2)
    found.write(reports / "results.json")
    (reports / "table.md").write_text(results.table(found) + "\n")
    if write:
        found.write(results.COMMITTED)
        results.publish(found)
    print(results.table(found))
    print(f"written: {reports / 'table.md'}")
    sys.exit(1 if found.missed else 0)


def _broken(*, names: list[str], rates: dict[str, float], build: bool) -> Results:
    """Raises Failed: no stack, or a fault could not be inflicted; ValueError: an unknown fault."""
    from benchmarks import machine

    def say(line: str) -> None:
        print(line, flush=True)

    seen = machine.describe()
    with prepare.stack(say, build=build) as (stack, left_out):
        chosen = discover.chosen(discover.faults(stack.config(), left_out=left_out), names)
        key = stack.key("chaos", "predict")
        callers = prepare.callers(stack, rates, key)
        with Load(callers, port=stack.door, key=key):
            outcomes = run(chosen, stack, callers, Times(), say)
    return Results(machine=seen, rates=rates, left_out=left_out, outcomes=outcomes)


if __name__ == "__main__":
    typer.run(main)
