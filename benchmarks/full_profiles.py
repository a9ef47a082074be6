"""Tabulate trainings with the full profile: `python -m benchmarks.full_profiles FOLDER --device D`.

FOLDER holds a folder for each project, the `--output` of `slipway train NAME --profile full`. Where
the machine with the GPU has no MLflow, `slipway fit` and `slipway evaluate` with `--into` and
`--profile full` write the same files. Writes full_profiles.json and the table in docs/kits.md.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from slipway import home
from slipway.marks import replace_between
from slipway.project import Project, discover
from slipway.reporting.figure import figure
from slipway.stages.full_profile import full_params

FILE, MARK = Path(__file__).with_name("full_profiles.json"), "full profiles"
PAGE = home.root() / "docs" / "kits.md"
HEAD = ("project", "`fit`, s", "metric (test rows)", "full", "committed", "gate")


def main() -> None:
    """Read the folders, print the table, and write it."""
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("folder", type=Path)
    options.add_argument("--device", required=True, help="what `fit` ran on")
    arguments = options.parse_args()
    trained = [
        entry(project, arguments.folder / project.name)
        for project in discover()
        if (arguments.folder / project.name / "metrics.json").is_file()
    ]
    if not trained:
        raise SystemExit(f"{arguments.folder}: no project's outputs there")
    found = {"device": arguments.device, "projects": trained}
    FILE.write_text(json.dumps(found, indent=1) + "\n")
    text = table(found)
    print(text)
    replace_between(PAGE, MARK, text)


def entry(project: Project, folder: Path) -> dict[str, Any]:
    """Return what is kept of one training."""
    metrics = json.loads((folder / "metrics.json").read_text())["metrics"]
    committed = json.loads((project.folder / "metrics.json").read_text())["metrics"]
    primary = project.params.primary
    timing = json.loads((folder / "work" / "volatile" / "timing.json").read_text())
    ends = [metrics[f"{primary}_{end}"] for end in ("low", "high") if f"{primary}_{end}" in metrics]
    return {
        "name": project.name,
        "fit_seconds": timing["fit_seconds"],
        "metric": primary,
        "full": metrics[primary],
        "interval": ends,
        "committed": committed[primary],
        "shortfalls": full_params(project).gate.shortfalls(metrics),
    }


def table(found: dict[str, Any]) -> str:
    """Return the table as Markdown."""
    lines = ["| " + " | ".join(HEAD) + " |", "| --- | ---: | --- | ---: | ---: | --- |"]
    for each in found["projects"]:
        interval = " to ".join(figure(end) for end in each["interval"])
        full = figure(each["full"]) + (f" ({interval})" if interval else "")
        gate = "; ".join(each["shortfalls"]) or "met"
        lines.append(
            f"| {each['name']} | {each['fit_seconds']:.0f} | {each['metric']} | {full} | "
            f"{figure(each['committed'])} | {gate} |"
        )
    return "\n".join([*lines, "", f"`fit` ran on {found['device']}."])


if __name__ == "__main__":
    main()
