"""Build, materialize, query and trace the feature store."""

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from slipway.arguments import AsJson, print_json

if TYPE_CHECKING:
    from slipway.features.freshness import Freshness
    from slipway.features.lineage import Lineage

app = typer.Typer(name="features", no_args_is_help=True, help=__doc__)

Service = Annotated[str, typer.Argument(metavar="SERVICE", help="A feature service")]


@app.command()
def build(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[TABLE]...", help="Default: all")
    ] = None,
) -> None:
    """Build the offline tables from their data sets, unless they are up to date."""
    import pyarrow.parquet as pq

    from slipway.features import offline, tables

    for name in names or tables.names():
        file = offline.build(name)
        typer.echo(f"{name}: {pq.read_metadata(file).num_rows:,} rows in {file}")


@app.command()
def apply() -> None:
    """Write the definitions into Feast's registry, for Feast's own tools."""
    from slipway.features.apply import apply

    for line in apply():
        typer.echo(line)


@app.command()
def materialize(
    until: Annotated[
        str,
        typer.Option(help="`data` (the newest row), `now`, or a time such as 2011-09-09"),
    ] = "data",
    view: Annotated[list[str] | None, typer.Option(help="Only these views; default: all")] = None,
    anew: Annotated[bool, typer.Option(help="Empty the views first")] = False,
) -> None:
    """Fill the online store up to a time: Redis if $SLIPWAY_REDIS_URL is set, otherwise SQLite."""
    from slipway.features.materialize import materialize

    for mark in materialize(until=_parse_time(until), views=view, anew=anew):
        newest = mark.newest.isoformat() if mark.newest else "none"
        typer.echo(f"{mark.view}: {mark.rows:,} rows, newest {newest}")


def _parse_time(text: str) -> datetime | None:
    if text == "data":
        return None
    if text == "now":
        return datetime.now(UTC)
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter(
            f"--until must be data, now, or a time such as 2011-09-09, got {text!r}"
        ) from error
    return time if time.tzinfo else time.replace(tzinfo=UTC)


@app.command()
def get(service: Service, keys: Annotated[list[str], typer.Argument(help="Join keys")]) -> None:
    """Look keys up online; print one JSON line per key, null for an unknown key."""
    from slipway.features import definitions
    from slipway.features.online import Online

    # The first connection of a process may take longer than the time allowed for a look-up.
    online = Online(timeout=2.0)
    entity = definitions.load().plan(service).key
    for features in online.look_up(service, entity, list(keys)):
        typer.echo(json.dumps(features, default=datetime.isoformat))


@app.command()
def freshness(
    metrics: Annotated[bool, typer.Option(help="Print Prometheus metrics")] = False,
    as_json: AsJson = False,
) -> None:
    """Show the age of each view's newest event, and when the view was last materialized."""
    if metrics:
        from prometheus_client import CollectorRegistry, generate_latest

        from slipway.features.freshness import FreshnessCollector

        registry = CollectorRegistry()
        registry.register(FreshnessCollector())
        typer.echo(generate_latest(registry).decode(), nl=False)
        return
    from slipway.features.freshness import freshness

    now = datetime.now(UTC)
    if as_json:
        print_json([_freshness(each, now) for each in freshness()])
        return
    for each in freshness():
        if each.mark is None:
            typer.echo(f"{each.view:24} not in the store")
            continue
        age = each.event_age_seconds(now)
        typer.echo(
            f"{each.view:24} {each.mark.rows:8,} rows  "
            f"newest event {'none' if age is None else f'{age / 3600:,.1f} h old'}  "
            f"filled {each.mark.materialized_at.isoformat(timespec='seconds')}"
            + ("" if each.is_current else "  by an older definition")
        )


def _freshness(each: "Freshness", now: datetime) -> dict[str, Any]:
    mark = each.mark
    return {
        "view": each.view,
        "rows": mark.rows if mark else None,
        "age_seconds": each.event_age_seconds(now) if mark else None,
        "materialized_at": mark.materialized_at.isoformat() if mark else None,
        "current": each.is_current if mark else None,
    }


@app.command()
def lineage(
    name: Annotated[
        str, typer.Argument(metavar="PROJECT|VIEW", help="A project, a view, or view:feature")
    ],
    as_json: AsJson = False,
) -> None:
    """Show which features a model's versions were trained on, or which versions use a feature."""
    from slipway.features import definitions
    from slipway.features import lineage as lineages

    view, _, feature = name.partition(":")
    known = definitions.load()
    if feature or view in known.views or view in known.on_demand:
        found = lineages.of_feature(view, feature or None)
    else:
        found = lineages.of_model(name)
    if as_json:
        content = [{"model": each.model, "version": each.version, **each.record} for each in found]
        print_json(content)
    elif found:
        for each in found:
            _show(each)
    else:
        typer.echo(f"{name}: no registered version was trained from the feature store")


def _show(lineage: "Lineage") -> None:
    record = lineage.record
    aliases = f" ({', '.join(lineage.aliases)})" if lineage.aliases else ""
    typer.echo(
        f"{lineage.model} v{lineage.version}{aliases}: feature service {record['service']}, "
        f"{len(record['features'])} features by {record['entity']}"
    )
    changed = lineage.changed()
    for view, entry in {**record["views"], **record["on_demand"]}.items():
        state = "changed since" if view in changed else "as today"
        typer.echo(f"  {view:24} definition {entry['definition'][:12]}  {state}")
        if source := entry.get("source"):
            files = ", ".join(f"{file} {sha[:12]}" for file, sha in source["files"].items())
            typer.echo(f"  {'':24} {entry['table']} from {source['dataset']}: {files}")
