"""The committed rule files: write them from the objectives, or compare them."""

from pathlib import Path
from typing import Any

import yaml

from infra import committed
from infra.slo.objectives import promises
from infra.slo.rules import rules
from slipway import home

PATTERN = "*.yaml"


class _Dumper(yaml.SafeDumper):
    """Writes long expressions as readable blocks."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        # Indent lists below their key.
        super().increase_indent(flow, False)


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = "|" if "\n" in value else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)


def folder() -> Path:
    return home.root() / "infra" / "prometheus" / "rules"


def dump(content: dict[str, Any]) -> str:
    return yaml.dump(content, Dumper=_Dumper, sort_keys=False, width=1000, allow_unicode=True)


def texts(place: Path | None = None) -> dict[str, str]:
    """Return every rule file by name, from the objectives in the folder `place`."""
    return {
        f"{promise.service}.yaml": (
            f"# Generated from infra/slo/{promise.service}.yaml by `slipway slo generate`.\n"
            + dump(rules(promise))
        )
        for promise in promises(place)
    }


def write(place: Path | None = None, into: Path | None = None) -> list[Path]:
    """Write the rule files, and delete those of services without objectives."""
    return committed.write(texts(place), into or folder(), pattern=PATTERN)


def differences(place: Path | None = None, into: Path | None = None) -> list[str]:
    """Return a line for each rule file that differs from what the objectives generate."""
    return committed.differences(
        texts(place),
        into or folder(),
        pattern=PATTERN,
        owner="service",
        sources="its objectives",
    )
