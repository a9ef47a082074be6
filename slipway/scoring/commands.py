"""`slipway score`: a file through a registered model, larger than memory if need be."""

import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from slipway.scoring.progress import Progress

# Where no terminal redraws its line, each one stays in a log.
LOG_SECONDS = 10.0


def score(
    name: Annotated[str, typer.Argument(help="A project of the registry")],
    source: Annotated[Path, typer.Argument(help="A .csv, .parquet or .jsonl")],
    target: Annotated[Path, typer.Argument(help="A .csv, .parquet or .jsonl; replaced")],
    version: Annotated[
        str | None, typer.Option(help="A version's number; the champion if not given")
    ] = None,
    keep: Annotated[
        list[str] | None,
        typer.Option(help="A column to pass through, like an id; repeat for several"),
    ] = None,
    rows_per_part: Annotated[
        int, typer.Option(min=1, help="What is lost at most when it is stopped")
    ] = 10_000,
    fresh: Annotated[bool, typer.Option(help="Begin anew, whatever was begun before")] = False,
) -> None:
    """Score every row of a file. Stopped, the same command goes on where it was."""
    from slipway.scoring import score as scoring
    from slipway.scoring.registered import fetch
    from slipway.scoring.tables import BadTable

    work = target.with_name(f"{target.name}.work")
    if fresh and work.exists():
        shutil.rmtree(work)
    line = _Line()
    with tempfile.TemporaryDirectory(prefix="slipway-score-") as scratch:
        number, shipped = fetch(name, version, Path(scratch))
        try:
            summary = scoring.score(
                shipped=shipped,
                version=number,
                source=source,
                target=target,
                work=work,
                rows_per_part=rows_per_part,
                keep=keep or [],
                on_progress=line.show,
            )
        except KeyboardInterrupt:
            line.end()
            typer.echo("Stopped; the same command goes on from here", err=True)
            raise typer.Abort from None
        except BadTable:
            # Refused before anything was done, as a rule: then there is nothing to go on with.
            if not any(work.glob("part-*.parquet")):
                shutil.rmtree(work, ignore_errors=True)
            raise
        except scoring.WorkDiffers as error:
            raise scoring.WorkDiffers(f"{error}: --fresh") from error
        finally:
            line.end()
    shutil.rmtree(work)
    before = f" ({summary.resumed_rows:,} from before)" if summary.resumed_rows else ""
    typer.echo(
        f"{target}: {summary.rows:,} rows{before} by {name} v{number}, {summary.bad:,} bad, "
        f"{summary.seconds:.1f} s, {summary.rows_per_second:,.0f} rows/s"
    )


class _Line:
    """The progress on standard error: one line that is redrawn, in a log one now and then."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._width = 0
        self._shown = float("-inf")

    def show(self, now: "Progress") -> None:
        text = _words(now)
        if self._terminal:
            typer.echo(f"\r{text:{self._width}}", err=True, nl=False)
            self._width = len(text)
        elif time.monotonic() - self._shown >= LOG_SECONDS:
            typer.echo(text, err=True)
            self._shown = time.monotonic()

    def end(self) -> None:
        if self._width:
            typer.echo(err=True)
        self._width = 0


def _words(now: "Progress") -> str:
    share = now.bytes / now.bytes_total if now.bytes_total else 1.0
    words = [f"{now.rows:,} rows", f"{now.bad:,} bad", f"{share:.0%}"]
    if now.rows_per_second is not None:
        words.append(f"{now.rows_per_second:,.0f} rows/s")
    if now.seconds_left is not None:
        words.append(f"{now.seconds_left:.0f} s left")
    return ", ".join(words)
