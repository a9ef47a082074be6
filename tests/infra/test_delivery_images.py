"""The contents policy of images, the list of images, and advisories for their packages."""

import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from infra.delivery import advisories, dockerfile, sizes
from infra.delivery.contents import Contents, Finding, _settings, files
from infra.delivery.sbom import SbomFault, validate
from services.predict.packages import image_with
from slipway.contract.groups import group_names
from tests.conftest import ROOT

KEY = "-----BEGIN RSA " + "PRIVATE KEY-----\n" + "A" * 64 + "\n"


def archive(
    name: str, *, mode: int = 0o644, content: str = "", kind: bytes = tarfile.REGTYPE, uid: int = 0
) -> io.BytesIO:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as made:
        member = tarfile.TarInfo(name)
        member.mode, member.type, member.uid, member.size = mode, kind, uid, len(content)
        made.addfile(member, io.BytesIO(content.encode()))
    stream.seek(0)
    return stream


def kinds(stream: io.BytesIO) -> list[str]:
    return [each.kind for each in files(stream, user=10001)]


@pytest.mark.parametrize(
    ("stream", "kind"),
    [
        (archive("usr/bin/su", mode=0o4755), "setuid"),
        (archive("usr/bin/wall", mode=0o2755), "setuid"),
        (archive("etc/motd", mode=0o666), "writable"),
        (archive("srv", mode=0o777, kind=tarfile.DIRTYPE), "writable"),
        (archive("app/slipway/cli.py", uid=10001), "owned"),
        (archive("opt/slipway/bin/python", uid=10001), "owned"),
        (archive("app/.git", kind=tarfile.DIRTYPE), "secret"),
        (archive("app/.env"), "secret"),
        (archive("root/.netrc"), "secret"),
        (archive("app/settings.py", content=f"KEY = '''{KEY}'''"), "secret"),
        (archive("usr/bin/gcc-12"), "compiler"),
        (archive("usr/bin/x86_64-linux-gnu-ld", kind=tarfile.SYMTYPE), "compiler"),
        (archive("opt/slipway/bin/pip3.11"), "installer"),
        (archive("usr/bin/cc", kind=tarfile.SYMTYPE), "compiler"),
        (archive("opt/lib/python3.11/site-packages/pip", kind=tarfile.DIRTYPE), "installer"),
    ],
)
def test_what_an_image_must_not_hold_is_found(stream: io.BytesIO, kind: str) -> None:
    assert kinds(stream) == [kind]


@pytest.mark.parametrize(
    "stream",
    [
        archive("tmp", mode=0o1777, kind=tarfile.DIRTYPE),
        archive("usr/bin/env", mode=0o777, kind=tarfile.SYMTYPE),
        archive("var/lib/slipway", kind=tarfile.DIRTYPE, uid=10001),
        archive("usr/bin/python3.11", mode=0o755),
        archive("opt/slipway/bin/pipx-less"),
        archive("app/services/make/cc.py"),
        archive("app/ca.pem", content="-----BEGIN CERTIFICATE-----\nAAAA"),
        archive("app/keys.py", content='HEAD = "-----BEGIN PRIVATE KEY-----"'),
    ],
)
def test_what_belongs_there_is_let_be(stream: io.BytesIO) -> None:
    assert kinds(stream) == []


@pytest.mark.parametrize(
    ("user", "variables", "kind"),
    [
        ("", [], "root"),
        ("0:0", [], "root"),
        ("root", [], "root"),
        ("slipway", [], "user"),
        ("10001", ["DB_PASSWORD=hunter2"], "secret"),
    ],
)
def test_its_settings_count_too(user: str, variables: list[str], kind: str) -> None:
    assert [each.kind for each in _settings(user, variables)] == [kind]
    assert list(_settings("10001:10001", ["PATH=/bin", "DB_PASSWORD="])) == []


def test_a_label_allows_with_a_reason_what_is_there() -> None:
    found = [Finding("installer", "/bin/pip installs programs")]
    assert Contents(found, {"installer": "data sets come through it"}).faults() == []
    assert Contents(found).faults() == ["/bin/pip installs programs"]
    assert len(Contents(found, {"installer": " "}).faults()) == 2
    assert Contents([], {"compiler": "why"}).faults() == [
        "label slipway.allow.compiler allows what is not there"
    ]


def test_the_images_are_the_stages_that_say_what_they_run() -> None:
    text = """
FROM python:3.11 AS installer
FROM --platform=linux/amd64 python:3.11 as base
HEALTHCHECK CMD ["health"]
FROM base AS one
COPY --chown=0:0 --from=installer /opt /opt
HEALTHCHECK --interval=10s \\
    CMD ["health"]
CMD ["one"]
FROM one AS two
cmd ["two"]
"""
    assert dockerfile.targets(text) == ["one", "two"]
    with pytest.raises(dockerfile.NoImages):
        dockerfile.targets("FROM python:3.11\nCMD python\n")


def test_this_repositorys_images_are_found() -> None:
    found = dockerfile.targets((ROOT / dockerfile.FILE).read_text())
    assert {"serving", "monitor", "training"} <= set(found)
    assert not {"base", "installer"} & set(found)


@pytest.mark.parametrize("group", ["features", "media"])
def test_an_image_with_a_serving_group_differs_in_its_packages_alone(group: str) -> None:
    text = (ROOT / dockerfile.FILE).read_text()
    _, *parts = dockerfile.STAGE.split(text)
    stages = dict(zip(parts[::2], parts[1::2], strict=True))

    def statements(stage: str) -> list[str]:
        # Feast requires mypy, which no other package of a server does.
        text = stages[stage].replace(group, "serving").replace("/opt/slipway mypy", "/opt/slipway")
        return [line for line in text.splitlines() if line and not line.startswith("#")]

    assert statements(f"serving-{group}") == statements("serving")
    assert statements(f"{group}-environment") == statements("serving-environment")


def test_the_sizes_in_the_documentation_are_the_measured_ones() -> None:
    measured = sizes.read(ROOT)
    assert measured.keys() == sizes.PURPOSES.keys()
    page = (ROOT / "docs" / "operations.md").read_text()
    table = "| image | for | above Python's image |\n| --- | --- | --- |\n"
    assert table + "\n".join(sizes.rows(measured)) + "\n" in page


def test_a_missing_package_is_found_in_the_image_that_the_message_names() -> None:
    named = {image_with([name]) for name in group_names()}
    assert named == {"serving-features", "serving-media"}
    assert named <= set(dockerfile.targets((ROOT / dockerfile.FILE).read_text()))


def test_a_list_that_is_not_cyclonedx_is_refused() -> None:
    sound = {"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1, "components": []}
    validate(json.dumps(sound))
    with pytest.raises(SbomFault, match="not valid CycloneDX"):
        validate(json.dumps(sound | {"components": [{"name": "no type"}]}))


AUDITED = {
    "dependencies": [
        {"name": "good", "version": "1.0", "vulns": []},
        {
            "name": "bad",
            "version": "2.0",
            "vulns": [{"id": "PYSEC-1", "fix_versions": ["2.1"], "aliases": []}],
        },
        {"name": "hidden", "skip_reason": "Dependency not found on PyPI"},
    ]
}


def test_a_vulnerability_and_a_package_passed_over_are_both_faults() -> None:
    lines = advisories.faults(advisories.read(json.dumps(AUDITED)))
    assert lines[0] == "bad 2.0: PYSEC-1 (fixed in 2.1)"
    assert "the advisory service has no data on 1 of 3 packages (hidden" in lines[1]
    assert len(lines) == 2
    sound = {"dependencies": AUDITED["dependencies"][:1]}
    assert advisories.faults(advisories.read(json.dumps(sound))) == []
    assert advisories.faults(advisories.read('{"dependencies": []}')) == ["no package was audited"]


def test_every_pin_of_every_lock_is_audited() -> None:
    held = advisories.pins(ROOT / "infra" / "environment" / "locks")
    audited = {pin for pins in held.values() for pin in pins}
    assert any(pin.startswith("torch==") for pin in audited)
    for file in (ROOT / "infra" / "environment" / "locks").glob("*.txt"):
        lines = [line.split(" ")[0] for line in file.read_text().splitlines() if "==" in line]
        wanted = {line for line in lines if not line.startswith("#")}
        assert wanted <= audited, file.name
    # A pin is audited once if one lock contains another.
    assert "serving" not in held


def test_without_the_advisory_service_nothing_is_green(tmp_path: Path) -> None:
    nowhere = "http://127.0.0.1:9"
    done = subprocess.run(
        [sys.executable, "-m", "slipway", "audit"],
        cwd=ROOT,
        env={**os.environ, "HTTPS_PROXY": nowhere, "HTTP_PROXY": nowhere, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "the audit failed" in done.stderr


def test_an_accepted_advisory_needs_a_reason(tmp_path: Path) -> None:
    file = tmp_path / "pyproject.toml"
    file.write_text('[tool.slipway.advisories]\nPYSEC-1 = "only its server, which is not used"\n')
    assert list(advisories.accepted(file)) == ["PYSEC-1"]
    file.write_text('[tool.slipway.advisories]\nPYSEC-1 = ""\n')
    with pytest.raises(ValueError, match="must give a reason"):
        advisories.accepted(file)
    assert advisories.accepted(ROOT / "pyproject.toml") == {}
