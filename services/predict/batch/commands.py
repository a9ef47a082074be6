"""`slipway score`: score a table, a folder or an archive, of any size, with a registered model."""

import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from services.predict.batch.formats import TableFormat
from slipway.arguments import ProjectName

app = typer.Typer()

if TYPE_CHECKING:
    from services.predict.batch.progress import Progress

# Without a terminal, every progress line stays in the log, so there are fewer of them.
LOG_SECONDS = 10.0


@app.command()
def score(
    name: ProjectName,
    source: Annotated[
        Path,
        typer.Argument(
            help="What to score: a table (.csv, .parquet, .jsonl), or a folder or an archive "
            "(.zip, .tar, .tar.gz, .tgz) of pictures, sound or other files"
        ),
    ],
    target: Annotated[
        Path,
        typer.Argument(
            help="The file to write: .csv, .parquet, .jsonl, or .zip, which holds a table and "
            "predicted pictures, sound and documents as files"
        ),
    ],
    version: Annotated[
        str | None, typer.Option(help="Version number; the champion by default")
    ] = None,
    keep: Annotated[
        list[str] | None,
        typer.Option(help="A column to copy to the results, such as an id; can be repeated"),
    ] = None,
    rows: Annotated[TableFormat, typer.Option(help="The format of the table in a .zip")] = "jsonl",
    rows_per_part: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="At most this many rows are scored again after a stop: 10,000 by default, or "
            "256 with media",
        ),
    ] = None,
    fresh: Annotated[bool, typer.Option(help="Start over, discarding earlier parts")] = False,
) -> None:
    """Score every row of a table, or every file of a folder or an archive.

    Run the same command again to resume after a stop.
    """
    from services.predict.batch import score as scoring
    from services.predict.batch.formats import BadTable
    from slipway.registry.registered import fetch

    work = target.with_name(f"{target.name}.work")
    if fresh and work.exists():
        shutil.rmtree(work)
    line = _ProgressLine()
    with tempfile.TemporaryDirectory(prefix="slipway-score-") as scratch:
        number, shipped = fetch(name, version, Path(scratch))
        try:
            summary = scoring.score(
                shipped=shipped,
                version=number,
                source=source,
                target=target,
                work=work,
                rows=rows,
                rows_per_part=rows_per_part,
                keep=keep or [],
                on_progress=line.show,
            )
        except KeyboardInterrupt:
            line.end()
            typer.echo("Stopped. Run the same command again to resume.", err=True)
            raise typer.Abort from None
        except BadTable:
            # Usually raised before any part was written: then there is nothing to resume.
            if not any(work.glob("part-*.parquet")):
                shutil.rmtree(work, ignore_errors=True)
            raise
        except scoring.WorkFolderMismatch as error:
            raise scoring.WorkFolderMismatch(f"{error}: --fresh") from error
        finally:
            line.end()
    shutil.rmtree(work)
    resumed = f" ({summary.resumed_rows:,} from an earlier run)" if summary.resumed_rows else ""
    typer.echo(
        f"{target}: {summary.rows:,} rows{resumed} by {name} v{number}, {summary.bad:,} bad, "
        f"{summary.seconds:.1f} s, {summary.rows_per_second:,.0f} rows/s"
    )


class _ProgressLine:
    """Shows the progress on standard error: one redrawn line, or in a log a line at intervals."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._width = 0
        self._shown = float("-inf")

    def show(self, now: "Progress") -> None:
        text = _format_progress(now)
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


def _format_progress(now: "Progress") -> str:
    share = now.bytes / now.bytes_total if now.bytes_total else 1.0
    parts = [f"{now.rows:,} rows", f"{now.bad:,} bad", f"{share:.0%}"]
    if now.rows_per_second is not None:
        parts.append(f"{now.rows_per_second:,.0f} rows/s")
    if now.seconds_left is not None:
        parts.append(f"{now.seconds_left:.0f} s left")
    return ", ".join(parts)
