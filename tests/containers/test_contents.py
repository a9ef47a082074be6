"""Test the content of each image: its bill against what is installed, and the content policy."""

import json
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from infra.delivery import contents, sbom
from tests.containers.docker import OURS, TARGETS, image, inspected

# As Docker says that the image has no Python.
NO_SUCH_PROGRAM = 127
INSTALLED = """
import importlib.metadata, json
print(json.dumps([[each.name, each.version] for each in importlib.metadata.distributions()]))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sbom")


@cache
def components(target: str, folder: Path) -> list[dict]:
    file = folder / f"{target}.cdx.json"
    assert sbom.write(image(target), file) > 0
    sbom.validate(file.read_text())
    return json.loads(file.read_text())["components"]


def within(target: str, *command: str) -> subprocess.CompletedProcess[str]:
    whole = ["docker", "run", "--rm", "--network", "none", "--entrypoint", command[0]]
    return subprocess.run([*whole, image(target), *command[1:]], capture_output=True, text=True)


def packages(found: list[dict], kind: str) -> Iterator[tuple[str, str]]:
    for each in found:
        if each.get("purl", "").startswith(f"pkg:{kind}/"):
            yield re.sub(r"[-_.]+", "-", each["name"].lower()), each["version"]


@pytest.mark.parametrize("target", TARGETS)
def test_the_bill_lists_every_package_of_debian(target: str, folder: Path) -> None:
    done = within(target, "dpkg-query", "--show", "--showformat", r"${Package}\t${Version}\n")
    assert done.returncode == 0, done.stderr
    installed = {tuple(line.split("\t")) for line in done.stdout.splitlines()}
    listed = {
        (each["name"], each["version"])
        for each in components(target, folder)
        if each.get("purl", "").startswith("pkg:deb/debian/")
    }
    assert listed == installed
    assert len(installed) > 50


@pytest.mark.parametrize("target", TARGETS)
def test_the_bill_lists_every_package_of_python(target: str, folder: Path) -> None:
    listed = set(packages(components(target, folder), "pypi"))
    done = within(target, "python", "-c", INSTALLED)
    if done.returncode == NO_SUCH_PROGRAM:
        assert listed == set()
        return
    assert done.returncode == 0, done.stderr
    installed = {
        (re.sub(r"[-_.]+", "-", name.lower()), version) for name, version in json.loads(done.stdout)
    }
    assert len(installed) > 50
    assert installed <= listed
    # The base image's own Python may hold a few besides, and setuptools keeps a dozen in itself.
    assert len(listed - installed) < 20, sorted(listed - installed)


def test_a_failure_says_why(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path / "not_there"))
    with pytest.raises(sbom.SbomFault, match="slipway/proxy:test: .*could not determine source"):
        sbom.write(image("proxy"), folder / "none.cdx.json")


@pytest.mark.quick_container
@pytest.mark.parametrize("target", TARGETS)
def test_every_image_is_labelled_as_ours(target: str) -> None:
    key, value = OURS.split("=")
    assert inspected(image(target))["Config"]["Labels"][key] == value


@pytest.mark.quick_container
@pytest.mark.parametrize("target", TARGETS)
def test_an_image_holds_nothing_that_it_must_not(target: str) -> None:
    assert contents.inspect(image(target)).faults() == []


def test_what_an_image_must_not_hold_is_found_in_a_real_one(tmp_path: Path) -> None:
    """The policy can fail: an image that is spoiled in each way, built on the proxy's."""
    (tmp_path / "Dockerfile").write_text(
        f"""FROM {image("proxy")}
USER root
ENV ADMIN_PASSWORD=hunter2
RUN chmod u+s /bin/true && touch /usr/bin/gcc && mkdir -m 0777 /srv/open && mkdir -p /app/.git
RUN touch /app/mine && chown 10001 /app/mine
USER 10001
"""
    )
    name = "slipway/spoiled:test"
    subprocess.run(["docker", "build", "--quiet", "--tag", name, tmp_path], check=True)
    try:
        found = {each.kind for each in contents.inspect(name).findings}
    finally:
        subprocess.run(["docker", "rmi", "--force", name], check=True, capture_output=True)
    assert found == {"secret", "setuid", "compiler", "writable", "owned"}
