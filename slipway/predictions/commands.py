"""`slipway records`: what is on record about a prediction."""

from typing import Annotated

import typer

from slipway.arguments import Address, print_json

app = typer.Typer(name="records", no_args_is_help=True, help=__doc__)


@app.callback()
def group() -> None:
    """Show what is on record about a prediction."""


@app.command()
def show(
    id: Annotated[str, typer.Argument(metavar="ID", help="The id in the response")],
    address: Address = None,
) -> None:
    """Print the record of a prediction as JSON: inputs, outputs, version, duration.

    The record is read from $SLIPWAY_HOME, or with --address from a server, with a key of scope
    admin.
    """
    if address is not None:
        from slipway.rest import ServiceClient

        print_json(
            ServiceClient("predict", address=address).request_json("GET", f"/v1/records/{id}")
        )
        return
    from slipway import home
    from slipway.fault import Fault
    from slipway.predictions import reader

    record = reader.find(home.home() / "predictions", id)
    if record is None:
        raise Fault(f"no record of {id} in {home.home() / 'predictions'}")
    print_json(record)
