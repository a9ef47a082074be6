"""Inspect an image's contents, read from its exported files without running it.

A stage that needs what is refused by default states the reason in the Dockerfile:
`LABEL slipway.allow.installer="data sets come through pip's own client"`.
"""

import re
import stat
import subprocess
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import IO

from infra.delivery.images import configured
from infra.docker import DockerFault, docker

ALLOW = "slipway.allow."
# Programs that build or install others. A version behind the name matches too: gcc-12, pip3.11.
COMPILERS = re.compile(
    r"^([a-z0-9_]+-linux-gnu-)?(gcc|cc|g\+\+|c\+\+|clang|ld|as|make|rustc|cargo|go)(-?[0-9.]+)?$"
)
INSTALLERS = re.compile(r"^(pip|uv|uvx|conda|poetry|npm)(-?[0-9.]+)?$")
SECRETS = re.compile(r"^(\.env|\.netrc|\.pypirc|\.git-credentials|id_(rsa|ecdsa|ed25519))$")
KEY = re.compile(rb"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY-----\s+[A-Za-z0-9+/=]{40}")
SECRET_VARIABLE = re.compile(r"(PASSWORD|PASSWD|SECRET|TOKEN|API_?KEY)", re.IGNORECASE)
# A private key is a few kilobytes of text; larger files are not searched for one.
KEY_BYTES = 64_000
# The top-level folders with the image's own code and environment.
OWN = ("app", "opt")


@dataclass(frozen=True)
class Finding:
    kind: str
    """The kind in a label that allows it: `slipway.allow.KIND`."""
    message: str


@dataclass(frozen=True)
class Contents:
    """The findings in one image, and what its labels allow."""

    findings: list[Finding]
    allowed: Mapping[str, str] = field(default_factory=dict)
    """Reasons by kind."""

    def faults(self) -> list[str]:
        """Return findings that are not allowed, and labels without a reason or without a
        finding."""
        lines = [
            each.message for each in self.findings if not self.allowed.get(each.kind, "").strip()
        ]
        found = {each.kind for each in self.findings}
        lines += [
            f"label {ALLOW}{kind} must give a reason"
            for kind, why in self.allowed.items()
            if not why.strip()
        ]
        lines += [
            f"label {ALLOW}{kind} allows what is not there"
            for kind in self.allowed
            if kind not in found
        ]
        return sorted(lines)


def inspect(image: str) -> Contents:
    """Read the whole image, some seconds a gigabyte.

    Raises:
        DockerFault: there is no such image.
    """
    settings = configured(image)
    labels: dict[str, str] = settings.get("Labels") or {}
    allowed = {key.removeprefix(ALLOW): why for key, why in labels.items() if key.startswith(ALLOW)}
    user = str(settings.get("User") or "")
    findings = list(_settings(user, settings.get("Env") or []))
    container = docker("create", image)
    try:
        with subprocess.Popen(["docker", "export", container], stdout=subprocess.PIPE) as export:
            assert export.stdout is not None
            findings += files(export.stdout, user=_number(user))
        if export.returncode:
            raise DockerFault(f"docker export of {image} ended with {export.returncode}")
    finally:
        docker("rm", "--force", container)
    return Contents(findings, allowed)


def files(stream: IO[bytes], *, user: int | None) -> list[Finding]:
    """Return the findings in a tar archive; `user` is the id of the image's user."""
    found: list[Finding] = []
    with tarfile.open(fileobj=stream, mode="r|") as archive:
        for member in archive:
            found += _modes(member)
            found += _names(member)
            own = member.name.partition("/")[0] in OWN
            if own and user is not None and member.uid == user:
                found.append(Finding("owned", f"/{member.name} is owned by the image's user"))
            if member.isfile() and member.size < KEY_BYTES:
                content = archive.extractfile(member)
                if content is not None and KEY.search(content.read()):
                    found.append(Finding("secret", f"/{member.name} holds a private key"))
    return found


def _settings(user: str, variables: list[str]) -> Iterator[Finding]:
    if user in ("", "root", "0") or user.startswith(("root:", "0:")):
        yield Finding("root", f"the user is {user or 'root'}: set another with USER")
    elif _number(user) is None:
        yield Finding("user", f"USER {user} must be a number: Kubernetes checks that it is not 0")
    for variable in variables:
        name, _, value = variable.partition("=")
        if value and SECRET_VARIABLE.search(name):
            yield Finding("secret", f"the variable {name} is set in the image")


def _number(user: str) -> int | None:
    number = user.partition(":")[0]
    return int(number) if number.isdecimal() else None


def _modes(member: tarfile.TarInfo) -> Iterator[Finding]:
    if member.isfile() and member.mode & (stat.S_ISUID | stat.S_ISGID):
        yield Finding("setuid", f"/{member.name} runs as its owner ({member.mode:o})")
    # A sticky folder such as /tmp is fine: users cannot delete each other's files in it.
    sticky = member.isdir() and member.mode & stat.S_ISVTX
    plain = member.isfile() or member.isdir()
    if plain and member.mode & stat.S_IWOTH and not sticky:
        yield Finding("writable", f"/{member.name} can be written by everybody ({member.mode:o})")


def _names(member: tarfile.TarInfo) -> Iterator[Finding]:
    path = PurePosixPath(member.name)
    if path.name == ".git":
        yield Finding("secret", f"/{member.name} is a git repository")
    if SECRETS.match(path.name):
        yield Finding("secret", f"/{member.name} has the name of a secret")
    program = path.parent.name in ("bin", "sbin") and not member.isdir()
    if program and COMPILERS.match(path.name):
        yield Finding("compiler", f"/{member.name} compiles programs")
    if program and INSTALLERS.match(path.name):
        yield Finding("installer", f"/{member.name} installs programs")
    if path.parent.name in ("site-packages", "dist-packages") and path.name in ("pip", "uv"):
        yield Finding("installer", f"/{member.name} installs programs")
