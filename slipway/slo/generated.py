"""The rule files that are committed: written from the promises, or compared with them."""

from pathlib import Path
from typing import Any

import yaml

from slipway import home
from slipway.slo.objectives import promises
from slipway.slo.rules import rules


class _Dumper(yaml.SafeDumper):
    """Long expressions as blocks that can be read."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        # Lists indented below their key.
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
    """Every rule file by name, from the promises in the folder `place`."""
    return {
        f"{promise.service}.yaml": (
            f"# Generated from infra/slo/{promise.service}.yaml by `slipway slo generate`.\n"
            + dump(rules(promise))
        )
        for promise in promises(place)
    }


def write(place: Path | None = None, into: Path | None = None) -> list[Path]:
    """Write the rule files; those of services without a promise go."""
    target = into or folder()
    target.mkdir(parents=True, exist_ok=True)
    wanted = texts(place)
    for old in target.glob("*.yaml"):
        if old.name not in wanted:
            old.unlink()
    for name, text in wanted.items():
        (target / name).write_text(text)
    return [target / name for name in wanted]


def differences(place: Path | None = None, into: Path | None = None) -> list[str]:
    """A line for each rule file that is not what the promises give."""
    target = into or folder()
    wanted = texts(place)
    found = {file.name: file.read_text() for file in target.glob("*.yaml")}
    missing = [f"{target / name} is missing" for name in wanted.keys() - found.keys()]
    left = [f"{target / name} belongs to no service" for name in found.keys() - wanted.keys()]
    stale = [
        f"{target / name} differs from what its objectives give"
        for name in wanted.keys() & found.keys()
        if wanted[name] != found[name]
    ]
    return sorted(missing + left + stale)
