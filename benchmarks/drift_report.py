"""Write the results of `benchmarks.drift` as tables and pictures."""

from typing import Any

from slipway import home

README = "services/monitor/README.md"
START, END = "<!-- drift -->", "<!-- /drift -->"
# Blue for what matters, grey for the rest; readable in light and dark themes.
COLOURS = ("#1f77b4", "#ff7f0e", "#7f7f7f")


def write(found: dict[str, Any]) -> None:
    """Write the tables into the monitor's README, and the pictures into docs/pictures."""
    file = home.root() / README
    head, _, rest = file.read_text().partition(START)
    _, _, tail = rest.partition(END)
    file.write_text(f"{head}{START}\n\n{tables(found)}\n\n{END}{tail}")
    folder = home.root() / "docs" / "pictures"
    if "alarms" in found:
        _picture_of_alarms(found, folder / "drift-false-alarms.png")
    if "power" in found:
        _picture_of_power(found, folder / "drift-power.png")


def tables(found: dict[str, Any]) -> str:
    parts = {"alarms": _alarms, "power": _power, "million": _million}
    return "\n\n".join(write_part(found) for part, write_part in parts.items() if part in found)


def _alarms(found: dict[str, Any]) -> str:
    lines = [
        "| project | window | windows | rows | alarms | effect alone | significance alone |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    total: dict[str, int] = {"windows": 0, "alarm": 0}
    for name, kinds in found["alarms"].items():
        for kind, each in kinds.items():
            if not isinstance(each, dict):
                continue
            about = f"{name} ({kinds['columns']} columns, {kinds['reference_rows']} test rows)"
            lines.append(
                f"| {about} | {kind.split()[0]} | {each['windows']} | {each['rows']:,} | "
                f"{each['alarm']} | {each['effect alone']} | {each['significance alone']} |"
            )
            total["windows"] += each["windows"]
            total["alarm"] += each["alarm"]
    rate = (
        f"**{total['alarm']} alarms in {total['windows']:,} undrifted windows.** Windows of a "
        "project are drawn from the same test rows, so these are fewer than as many independent "
        "trials; and a replayed window is nearer to the reference than new traffic can be. Fresh "
        "ones are the hard case."
    )
    return "\n".join(lines) + f"\n\n{rate}"


def _power(found: dict[str, Any]) -> str:
    sizes = list(next(iter(found["power"].values()))[0]["found"])
    lines = [
        "| project | planted | " + " | ".join(f"{int(size):,} rows" for size in sizes) + " |",
        "| --- | --- | " + " | ".join("---" for _ in sizes) + " |",
    ]
    for name, planted in found["power"].items():
        for each in planted:
            cells = " | ".join(f"{each['found'][size]:.0%}" for size in sizes)
            lines.append(f"| {name} | {each['drift']} | {cells} |")
    return "\n".join(lines)


def _million(found: dict[str, Any]) -> str:
    figures = found["million"]
    return (
        f"A log of {figures['rows']:,} rows ({figures['log_bytes'] / 2**20:,.0f} MB, half of it "
        f"Parquet) "
        f"is read once in {figures['read_seconds']:.0f} s ({figures['read_cpu_seconds']:.0f} s "
        f"of CPU), "
        f"with {figures['memory_grown_bytes'] / 2**20:.0f} MB more memory than before; the next "
        f"10,000 rows take {figures['next_10000_seconds']:.1f} s and a check "
        f"{figures['check_seconds']:.1f} s. {figures['sampled']:,} rows of it were compared."
    )


def _picture_of_alarms(found: dict[str, Any], file: Any) -> None:
    import matplotlib.pyplot as plt

    names = list(found["alarms"])
    rules = ("alarm", "effect alone", "significance alone")
    figure, axes = plt.subplots(figsize=(8, 3.6))
    for turn, rule in enumerate(rules):
        shares = []
        for name in names:
            kinds = [each for each in found["alarms"][name].values() if isinstance(each, dict)]
            windows = sum(each["windows"] for each in kinds)
            shares.append(sum(each[rule] for each in kinds) / windows)
        places = [place + (turn - 1) * 0.27 for place in range(len(names))]
        label = "the monitor's rule: both" if rule == "alarm" else rule
        bars = axes.bar(places, shares, 0.25, label=label, color=COLOURS[turn])
        axes.bar_label(bars, [f"{share:.0%}" for share in shares], fontsize=8)
    axes.set_xticks(range(len(names)), names)
    axes.set_ylabel("share of undrifted windows")
    axes.set_ylim(0, 1.1)
    axes.set_title("False alarms by rule")
    axes.legend(frameon=False, fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(file, dpi=110)
    plt.close(figure)


def _picture_of_power(found: dict[str, Any], file: Any) -> None:
    import matplotlib.pyplot as plt

    rows = [(name, each) for name, planted in found["power"].items() for each in planted]
    sizes = list(rows[0][1]["found"])
    shares = [[each["found"][size] for size in sizes] for _, each in rows]
    figure, axes = plt.subplots(figsize=(8, 0.3 * len(rows) + 1.2))
    axes.imshow(shares, aspect="auto", cmap="Blues", vmin=0, vmax=1)
    for row, line in enumerate(shares):
        for column, share in enumerate(line):
            colour = "white" if share > 0.6 else "black"
            axes.text(column, row, f"{share:.0%}", ha="center", va="center", color=colour)
    axes.set_xticks(range(len(sizes)), [f"{int(size):,} rows" for size in sizes])
    axes.set_yticks(range(len(rows)), [f"{name}: {each['drift']}" for name, each in rows])
    axes.set_title("How often a planted drift is detected")
    figure.tight_layout()
    figure.savefig(file, dpi=110)
    plt.close(figure)
