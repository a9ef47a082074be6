"""Known vulnerabilities in what the locks pin, asked of the advisory service by pip-audit.

It passes over what it cannot look up and ends with success; here that is a fault: a package of
which nothing was learned is not a safe one.
"""

import json
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

PIN = re.compile(r"^(?:# )?([A-Za-z0-9_.-]+(?:\[[^\]]+\])?==[^\s;,\\]+)", re.MULTILINE)


class NotAsked(Exception):
    """The advisory service gave no answer, so nothing is known."""


@dataclass(frozen=True)
class Advisory:
    package: str
    id: str
    fixed: tuple[str, ...]
    """Versions without it; none if there is none yet."""

    def __str__(self) -> str:
        cure = f"fixed in {', '.join(self.fixed)}" if self.fixed else "no version without it"
        return f"{self.package}: {self.id} ({cure})"


@dataclass(frozen=True)
class Audit:
    found: list[Advisory]
    asked: int
    unknown: tuple[str, ...]
    """Packages of which the service knows nothing."""


def pins(locks: Path) -> dict[str, list[str]]:
    """What each lock pins, a lock that another one holds whole left out.

    A pin in a comment counts: torch is installed in a step of its own.
    """
    every = {file.stem: frozenset(PIN.findall(file.read_text())) for file in locks.glob("*.txt")}
    return {
        name: sorted(held)
        for name, held in sorted(every.items())
        if not any(held < other for other in every.values())
    }


def accepted(pyproject: Path) -> Mapping[str, str]:
    """Advisories that do not concern this project, each with the reason, by id.

    From `[tool.slipway.advisories]`.

    Raises:
        ValueError: one has no reason.
    """
    told = tomllib.loads(pyproject.read_text())["tool"]["slipway"].get("advisories", {})
    for name, why in told.items():
        if not str(why).strip():
            raise ValueError(f"pyproject.toml: tool.slipway.advisories.{name} must give a reason")
    return {str(name): str(why) for name, why in told.items()}


def audit(wanted: list[str], *, ignored: Mapping[str, str] | None = None) -> Audit:
    """Ask of each pin, `name==version`.

    Raises:
        NotAsked: the service cannot be reached.
    """
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("".join(f"{pin}\n" for pin in wanted))
        file.flush()
        command = [sys.executable, "-m", "pip_audit", "--no-deps", "--disable-pip"]
        command += ["--format", "json", "--progress-spinner", "off", "--requirement", file.name]
        for name in ignored or {}:
            command += ["--ignore-vuln", name]
        done = subprocess.run(command, capture_output=True, text=True)
    try:
        return read(done.stdout)
    except (ValueError, KeyError) as error:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise NotAsked(f"the advisory service was not asked: {last}") from error


def read(text: str) -> Audit:
    """From pip-audit's JSON.

    Raises:
        ValueError: it is none.
        KeyError: it holds something else.
    """
    packages = json.loads(text)["dependencies"]
    found = [
        Advisory(f"{each['name']} {each['version']}", one["id"], tuple(one["fix_versions"]))
        for each in packages
        for one in each.get("vulns", ())
    ]
    unknown = tuple(each["name"] for each in packages if "skip_reason" in each)
    return Audit(found, len(packages), unknown)


def faults(audited: Audit) -> list[str]:
    """What stands against shipping these packages, a line each."""
    told = [str(each) for each in audited.found]
    if audited.unknown:
        few = ", ".join(audited.unknown[:3])
        told.append(
            f"of {len(audited.unknown)} of {audited.asked} packages the advisory service knows "
            f"nothing ({few}, ...): they were not audited; ask again where it can be reached"
        )
    if not audited.asked:
        told.append("no package was asked for")
    return told
