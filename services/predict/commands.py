"""`slipway predict`: request predictions of a running model server."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from slipway.arguments import Address, ProjectName, print_json
from slipway.fault import Fault

app = typer.Typer()


@app.command()
def predict(
    project: ProjectName,
    record: Annotated[
        str | None,
        typer.Argument(metavar="[JSON|-]", help="A record or a list of records; - reads it"),
    ] = None,
    file: Annotated[
        list[str] | None,
        typer.Option("--file", metavar="FIELD=PATH", help="A field from a file; can be repeated"),
    ] = None,
    stream: Annotated[
        bool, typer.Option("--stream", help="Print the answer while it is being made")
    ] = False,
    save: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write pictures and other media there")
    ] = None,
    address: Address = None,
) -> None:
    """Print the predictions for a record, as JSON."""
    from services.predict import request_records as requests
    from slipway.rest import ServiceClient

    server = ServiceClient("predict", address=address)
    if record is None and not file:
        raise Fault(requests.example(server, project))
    sent = requests.with_files(_parse(sys.stdin.read() if record == "-" else record), file or [])
    if not stream:
        response = server.request_json(
            "POST", requests.path(project), sent, seconds=requests.SECONDS
        )
    else:
        response = requests.follow(server, project, sent, _print_chunk)
    if save is not None:
        media = requests.media_of(server, project)
        response["predictions"] = [
            requests.save(row, prediction, media, save)
            for row, prediction in enumerate(response["predictions"])
        ]
    print_json(response)


def _parse(text: str | None) -> Any:
    if text is None:
        return {}
    try:
        return json.loads(text)
    except ValueError as error:
        raise Fault(f"the record is not JSON: {error}") from None


def _print_chunk(chunk: dict[str, Any]) -> None:
    """Print a piece of text as it is, any other piece as a line of JSON."""
    texts = [value for value in chunk.values() if isinstance(value, str)]
    if len(texts) == 1:
        typer.echo(texts[0], nl=False, err=True)
    else:
        typer.echo(json.dumps(chunk), err=True)
