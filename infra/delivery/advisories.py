"""Known vulnerabilities of the packages that the locks pin, from pip-audit's advisory service.

pip-audit skips packages that it cannot look up and exits with success. Here that is a fault: a
package without advisory data is not known to be safe.
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


class AuditFailed(Exception):
    """The advisory service did not respond, so nothing is known."""


@dataclass(frozen=True)
class Advisory:
    package: str
    id: str
    fixed: tuple[str, ...]
    """Versions without the vulnerability; empty if there is none yet."""

    def __str__(self) -> str:
        cure = f"fixed in {', '.join(self.fixed)}" if self.fixed else "no version without it"
        return f"{self.package}: {self.id} ({cure})"


@dataclass(frozen=True)
class Audit:
    found: list[Advisory]
    audited: int
    unknown: tuple[str, ...]
    """Packages that the service has no data on."""


def pins(locks: Path) -> dict[str, list[str]]:
    """Return the pins of each lock, leaving out locks that another lock contains completely.

    A pin in a comment counts: torch is installed in a step of its own.
    """
    every = {file.stem: frozenset(PIN.findall(file.read_text())) for file in locks.glob("*.txt")}
    return {
        name: sorted(held)
        for name, held in sorted(every.items())
        if not any(held < other for other in every.values())
    }


def accepted(pyproject: Path) -> Mapping[str, str]:
    """Return the advisories that do not concern this project, with the reason, by id.

    They are read from `[tool.slipway.advisories]`.

    Raises:
        ValueError: one has no reason.
    """
    reasons = tomllib.loads(pyproject.read_text())["tool"]["slipway"].get("advisories", {})
    for name, why in reasons.items():
        if not str(why).strip():
            raise ValueError(f"pyproject.toml: tool.slipway.advisories.{name} must give a reason")
    return {str(name): str(why) for name, why in reasons.items()}


def audit(wanted: list[str], *, ignored: Mapping[str, str] | None = None) -> Audit:
    """Look up the advisories of each pin, `name==version`.

    Raises:
        AuditFailed: the service cannot be reached.
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
        last = (done.stderr.strip().splitlines() or ["no output"])[-1]
        raise AuditFailed(f"the audit failed, the advisory service gave no data: {last}") from error


def read(text: str) -> Audit:
    """Parse pip-audit's JSON.

    Raises:
        ValueError: the text is not JSON.
        KeyError: a field is missing.
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
    """Return what prevents shipping these packages, a line each."""
    lines = [str(each) for each in audited.found]
    if audited.unknown:
        few = ", ".join(audited.unknown[:3])
        lines.append(
            f"the advisory service has no data on {len(audited.unknown)} of {audited.audited} "
            f"packages ({few}, ...): they were not audited; retry where it can be reached"
        )
    if not audited.audited:
        lines.append("no package was audited")
    return lines
