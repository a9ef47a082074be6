"""`slipway up` and `slipway down`: run every service on this machine, without containers."""

import typer

app = typer.Typer()


@app.command()
def up() -> None:
    """Serve every model and train outdated projects; each starter is served once registered."""
    from infra.local.platform import up

    up()


@app.command()
def down() -> None:
    """Stop what `up` started."""
    from infra.local.platform import down

    down()
