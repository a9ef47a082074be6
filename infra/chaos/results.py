"""A run's results, as JSON and as the README's table."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from infra.chaos.judge import CallerMeasurements, FaultOutcome, format_errors
from slipway.projects.readme import END, START, put

COMMITTED = Path(__file__).with_name("results.json")
README = Path(__file__).with_name("README.md")


class Results(BaseModel):
    """The results of a whole run."""

    model_config = ConfigDict(extra="forbid")

    machine: dict[str, str | int | float]
    rates: dict[str, float]
    """Requests a second by kind of caller."""
    left_out: list[str]
    """Services without an image on this machine."""
    outcomes: list[FaultOutcome] = []

    @property
    def missed(self) -> list[str]:
        return [line for each in self.outcomes for line in each.missed]

    def write(self, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(rounded(self).model_dump_json(indent=1) + "\n")


def rounded(results: Results) -> Results:
    from slipway.training.workspace import rounded as round_values

    return Results.model_validate(round_values(results.model_dump(mode="json")))


def table(results: Results) -> str:
    machine = results.machine
    rates = ", ".join(f"{name} {rate:g}/s" for name, rate in results.rates.items())
    missing = f" Without {', '.join(results.left_out)}: no image." if results.left_out else ""
    head = (
        f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']} GiB, load before the "
        f"start {machine['load_before']}. {rates}.{missing}"
    )
    rows = [
        "| fault | callers | requests | errors | p50 ms | p99 ms | max ms "
        "| last error after, s | steady again after, s | well after, s | records |",
        "| --- | --- |" + " ---: |" * 9,
    ]
    for outcome in results.outcomes:
        for number, (caller, seen) in enumerate(outcome.seen.items()):
            rows.append(f"| {' | '.join(_row(outcome, caller, seen, first=not number))} |")
    wrong = "\n".join(f"- {line}" for line in results.missed)
    return "\n\n".join(part for part in (head, "\n".join(rows), wrong) if part)


def _row(outcome: FaultOutcome, caller: str, seen: CallerMeasurements, *, first: bool) -> list[str]:
    records = outcome.records
    return [
        outcome.fault if first else "",
        caller,
        f"{seen.asked}",
        format_errors(seen.errors) or "0",
        *(_shown(value, "{:.0f}") for value in (seen.p50, seen.p99, seen.max)),
        _shown(seen.last_error, "{:.1f}"),
        "never" if seen.steady_again is None else f"{seen.steady_again:.0f}",
        _shown(outcome.well_again, "{:.0f}") if first else "",
        _records(records.promised, records.found, records.unpromised) if first else "",
    ]


def _records(promised: int, found: int, unpromised: int) -> str:
    more = f", {unpromised} not promised" if unpromised else ""
    return f"{found} of {promised}{more}"


def _shown(value: float | None, form: str) -> str:
    return "" if value is None else form.format(value)


def publish(results: Results) -> None:
    """Write the table between the README's markers.

    Raises:
        ValueError: the README has no markers.
    """
    put(README, f"{START}\n\n{table(rounded(results))}\n\n{END}")
