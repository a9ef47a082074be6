"""The tables and pictures of the README's section on scale, from `measured.json`."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from slipway.marks import replace_between
from slipway.reporting import plots

from .task import CORES, EVERY

FOLDER = Path(__file__).parent
README, PICTURES, MARK = FOLDER.parent / "README.md", FOLDER / "pictures", "scale"
NAMES = {"pandas": "pandas", "polars": "Polars", "duckdb": "DuckDB", "spark": "Spark"}
Runs = list[dict[str, Any]]


def rivals(content: dict[str, Any]) -> dict[float, dict[str, dict[str, Any]]]:
    """Return the run of each engine with its default options, by size."""
    found: dict[float, dict[str, dict[str, Any]]] = {}
    for run in content["runs"]:
        if not run["options"]:
            found.setdefault(run["gigabytes"], {})[run["engine"]] = run
    return found


def configurations(content: dict[str, Any]) -> Runs:
    """Return the runs of Spark's variants, with the default one of the same size first."""
    varied = [run for run in content["runs"] if run["engine"] == "spark" and run["options"]]
    sizes = {run["gigabytes"] for run in varied}
    default = [rivals(content)[size]["spark"] for size in sizes]
    return [run for run in [*default, *varied] if run["ended"] == "done"]


def table(head: list[str], rows: Iterable[list[str]], *, texts: int = 1) -> str:
    """Return a table in Markdown, its first `texts` columns aligned to the left."""
    lines = [head, ["---"] * texts + ["---:"] * (len(head) - texts), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def cell(run: dict[str, Any], fastest: float) -> str:
    """Return seconds, their ratio to the fastest engine, and the peak; or where it stopped."""
    if run["ended"] == "done":
        ratio = run["seconds"] / fastest
        return f"{run['seconds']:,.0f} s (x {ratio:.1f}), {run['peak_gb']:.1f} GB"
    reason = {"memory": "out of memory", "time": "out of time"}[run["ended"]]
    return f"{reason} while {run['result'].get('step', 'starting')}"


def rivals_table(content: dict[str, Any]) -> str:
    lines = []
    for size, runs in sorted(rivals(content).items()):
        fastest = min(run["seconds"] for run in runs.values() if run["ended"] == "done")
        made = content["generated"][f"{size:g}"]
        lines.append(
            [f"{made['bytes'] / 1e9:.3g} GB", f"{made['rows'] / 1e6:,.1f} million"]
            + [cell(runs[name], fastest) if name in runs else "not measured" for name in NAMES]
        )
    return table(["on disk", "flights", *NAMES.values()], lines, texts=2)


def steps_table(content: dict[str, Any]) -> str:
    """Return seconds of preparation and learning, CPU seconds and results, by engine and size."""
    lines = []
    for size, runs in sorted(rivals(content).items()):
        for name, run in sorted(runs.items(), key=lambda each: list(NAMES).index(each[0])):
            if run["ended"] != "done":
                continue
            result = run["result"]
            learning = result["steps"]["learning"]
            others = learning + result["steps"].get("starting", 0.0)
            preparing = sum(result["steps"].values()) - others
            lines.append(
                [
                    f"{size:g} GB",
                    NAMES[name],
                    f"{starting(run):,.1f}",
                    f"{preparing:,.1f}",
                    f"{learning:,.1f}",
                    f"{run['cpu_seconds']:,.0f}",
                    f"{result['rows']:,}",
                    f"{result['strength']:g}",
                    f"{result['test_roc_auc']:.5f}",
                ]
            )
    head = ["size", "engine", "start, s", "prepare, s", "learn, s", "CPU, s"]
    return table([*head, "learned from", "penalty", "test ROC AUC"], lines, texts=2)


def starting(run: dict[str, Any]) -> float:
    """Return the seconds of a run before its first step: imports, and Spark's Java or cluster."""
    steps = run["result"]["steps"]
    outside = run["seconds"] - sum(steps.values())
    return float(outside + steps.get("starting", 0.0))


def busy(run: dict[str, Any]) -> str:
    """Return the mean of the load average before and after a run."""
    return f"{sum(run['load']) / len(run['load']):.0f}"


def lines_in_memory(content: dict[str, Any]) -> str:
    """Return which engine finished what, and the fastest one's lead over Spark at the largest."""
    found = rivals(content)
    texts = []
    for engine, name in NAMES.items():
        runs = {size: each[engine] for size, each in found.items() if engine in each}
        done = [size for size, run in runs.items() if run["ended"] == "done"]
        ended = [size for size, run in runs.items() if run["ended"] != "done"]
        text = f"{name} finished {max(done):g} GB"
        texts.append(f"{text} and not {min(ended):g} GB" if ended else text)
    largest = found[max(found)]
    done_there = {name: run for name, run in largest.items() if run["ended"] == "done"}
    best = min(done_there, key=lambda name: done_there[name]["seconds"])
    spark, other = done_there["spark"], done_there[best]
    return (
        f"Within the limit, {'; '.join(texts)}. With {max(found):g} GB Spark took "
        f"{spark['seconds'] / other['seconds']:.1f} times the seconds of {NAMES[best]} and "
        f"{spark['cpu_seconds'] / other['cpu_seconds']:.1f} times its CPU seconds."
    )


def label(run: dict[str, Any]) -> str:
    """Return a configuration of Spark in words."""
    options = run["options"]
    if "executors" in options:
        executors = options["executors"]
        each = "an executor" if executors == 1 else f"{executors} executors"
        return f"cluster, {each} with {CORES // executors} cores".replace("1 cores", "1 core each")
    if "cores" in options:
        return "one core"
    partitions = options.get("partitions", 32)
    text = f"{partitions} partitions"
    return f"{text}, adaptive" if options.get("adaptive", True) else text


def configurations_table(content: dict[str, Any]) -> str:
    lines = []
    for run in configurations(content):
        result = run["result"]
        lines.append(
            [
                label(run),
                f"{starting(run):,.1f}",
                f"{result['steps']['preparing']:,.1f}",
                f"{result['steps']['learning']:,.1f}",
                f"{run['cpu_seconds']:,.0f}",
                f"{run['peak_gb']:.2f}",
                f"{result['tasks']}",
                f"{result['shuffled_mb']:,.0f}",
                f"{result['spilled_mb']:,.0f}",
                f"{result['test_roc_auc']:.5f}",
                busy(run),
            ]
        )
    head = ["Spark", "start, s", "prepare, s", "learn, s", "CPU, s", "peak, GB", "tasks"]
    return table([*head, "shuffled, MB", "spilled, MB", "test ROC AUC", "load"], lines)


def skew_table(content: dict[str, Any]) -> str:
    lines = []
    for run in content["runs"]:
        result = run["result"]
        if run["engine"] == "skew" and run["ended"] == "done":
            share, cores = result.get("largest_share"), result.get("cores_used")
            lines.append(
                [
                    run["options"]["way"],
                    f"{result['seconds']:.1f}",
                    f"{result['tasks']}",
                    f"{result['shuffled_mb']:,.0f}",
                    f"{share:.1%}" if share else "",
                    f"{1 / share:.1f}" if share else "",
                    f"{cores:.1f}" if cores else "",
                    busy(run),
                ]
            )
    head = ["join by airport", "seconds", "tasks", "shuffled, MB", "largest task, rows"]
    return table([*head, "cores at most, by rows", "by seconds", "load"], lines)


def sentences(content: dict[str, Any]) -> str:
    """Return what the sizes were and how they were measured, in numbers."""
    largest = max(content["generated"], key=float)
    made, keys = content["generated"][largest], content["largest_keys"]
    loads = [load for run in content["runs"] for load in run["load"]]
    cells = [run["result"]["cells"] for run in content["runs"] if "cells" in run["result"]]
    return (
        f"The largest size has {made['rows']:,} flights in {made['files']} files of plain, "
        f"uncompressed Parquet, {made['bytes'] / 1e9:.2f} GB on disk; with dictionaries and zstd a "
        f"file has {made['compressed_share']:.0%} of its size. Writing them took "
        f"{made['seconds']:,.0f} s and {made['peak_gb']:.2f} GB of memory at most. Every engine "
        f"had {content['limit_gib']:g} GiB for all of its processes and {CORES} cores of an "
        f"{content['machine']['cpu']}, which other programs shared: the load average was between "
        f"{min(loads):.1f} and {max(loads):.1f}. A run learned from each {EVERY}th flight. The "
        f"flights have {max(cells):,} pairs of route and day. The largest key of a join has "
        f"{keys['origin']:.1%} of the flights by airport, and {keys['origin_and_day']:.3%} by "
        "airport and day."
    )


def draw_rivals(content: dict[str, Any]) -> Figure:
    """Draw seconds and memory of each engine by size; a cross is where one ran out of memory."""
    figure, (left, right) = plots.panels(2)
    found = rivals(content)
    for engine, name in NAMES.items():
        runs = [(size, runs[engine]) for size, runs in sorted(found.items()) if engine in runs]
        done = [(size, run) for size, run in runs if run["ended"] == "done"]
        ended = [(size, run) for size, run in runs if run["ended"] != "done"]
        sizes = [size for size, _ in done]
        (line,) = left.plot(sizes, [run["seconds"] for _, run in done], marker="o", label=name)
        right.plot(sizes, [run["peak_gb"] for _, run in done], marker="o", color=line.get_color())
        places = [size for size, _ in ended]
        for panel, figures in ((left, "seconds"), (right, "peak_gb")):
            values = [run[figures] for _, run in ended]
            panel.plot(places, values, marker="x", linestyle="", color=line.get_color())
    left.set(xscale="log", yscale="log", xlabel="gigabytes of flights", ylabel="seconds")
    left.set_title("Prepare and learn (cross: out of memory)")
    right.axhline(content["limit_gib"] * 2**30 / 1e9, color=plots.INK, linestyle=":")
    right.set(xscale="log", xlabel="gigabytes of flights", ylabel="peak memory, GB")
    right.set_title("Memory of all processes (dotted: the limit)")
    left.legend(fontsize=8)
    return figure


def draw_configurations(content: dict[str, Any]) -> Figure:
    """Draw the seconds of Spark's configurations and of its kinds of the skewed join."""
    figure, (left, right) = plots.panels(2)
    runs = configurations(content)
    values = {
        "prepare": [run["result"]["steps"]["preparing"] for run in runs],
        "learn": [run["result"]["steps"]["learning"] for run in runs],
        "start": [starting(run) for run in runs],
    }
    base = [0.0] * len(runs)
    for name, seconds in values.items():
        left.barh([label(run) for run in runs], seconds, left=base, label=name)
        base = [before + more for before, more in zip(base, seconds, strict=True)]
    left.invert_yaxis()
    left.tick_params(axis="y", labelsize=7)
    left.set(xlabel="seconds")
    left.set_title("Spark by its configuration")
    left.legend(fontsize=7)
    joins = [each for each in content["runs"] if each["engine"] == "skew"]
    joins = [each for each in joins if "largest_share" in each["result"]]
    names = [each["options"]["way"] for each in joins]
    right.barh(names, [1 / each["result"]["largest_share"] for each in joins], color=plots.ACCENT)
    right.axvline(CORES, color=plots.INK, linestyle=":")
    right.invert_yaxis()
    right.tick_params(axis="y", labelsize=7)
    right.set(xlabel="cores at most, by rows (dotted: here)")
    right.set_title("Join by airport: useful cores")
    return figure


def block(content: dict[str, Any]) -> str:
    """Return the generated part of the section."""
    varied = [run for run in content["runs"] if run["options"]]
    joined, configured = (
        next(run["gigabytes"] for run in varied if run["engine"] == engine)
        for engine in ("skew", "spark")
    )
    return "\n\n".join(
        [
            sentences(content),
            lines_in_memory(content),
            "Seconds, their ratio to the fastest engine, and the peak of memory:",
            rivals_table(content),
            "![Seconds and memory by size](scale/pictures/rivals.png)",
            steps_table(content),
            f"Spark's configurations on {configured:g} GB:",
            configurations_table(content),
            f"A join of all flights of {joined:g} GB with a table of their airports:",
            skew_table(content),
            "![Configurations and skewed joins](scale/pictures/configurations.png)",
        ]
    )


def write(content: dict[str, Any]) -> None:
    """Write the pictures and the section of the README."""
    PICTURES.mkdir(exist_ok=True)
    for name, draw in {"rivals": draw_rivals, "configurations": draw_configurations}.items():
        figure = draw(content)
        plots.save(figure, PICTURES / f"{name}.png")
        plt.close(figure)
    replace_between(README, MARK, block(content))
