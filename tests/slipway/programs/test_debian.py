"""Programs from Debian's packages: the machine's own first, else unpacked and run without root."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from infra.slo import configuration
from slipway.home import free_port
from slipway.programs.debian import ProgramUnavailable, binary, installed
from tests.conftest import running

OURS = ("prometheus", "alertmanager", "amtool", "promtool", "redis")


def program(folder: Path, name: str, text: str = "#!/bin/sh\n") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / name
    file.write_text(text)
    file.chmod(0o755)
    return file


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and a PATH with nothing on it."""
    monkeypatch.setenv("SLIPWAY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    (tmp_path / "bin").mkdir()
    return tmp_path / "cache" / "debian"


def test_the_machines_own_program_goes_first(tmp_path: Path, cache: Path) -> None:
    assert installed("prometheus") is None
    unpacked = program(cache / "bin", "prometheus")
    assert binary("prometheus") == installed("prometheus") == unpacked
    own = program(tmp_path / "bin", "prometheus")
    assert binary("prometheus") == installed("prometheus") == own


def test_alertmanager_is_known_by_debians_name_too(tmp_path: Path, cache: Path) -> None:
    own = program(tmp_path / "bin", "prometheus-alertmanager")
    assert binary("alertmanager") == own


def test_without_apt_it_says_what_to_install(cache: Path) -> None:
    with pytest.raises(ProgramUnavailable) as refused:
        binary("amtool")
    assert "apt-get is not on this machine" in str(refused.value)
    assert "apt-get install prometheus-alertmanager" in str(refused.value)


def test_a_program_that_is_not_known_is_refused() -> None:
    with pytest.raises(KeyError, match="no program 'postgres' is known; known: alertmanager"):
        binary("postgres")


def test_what_does_not_run_is_not_handed_out(tmp_path: Path, cache: Path) -> None:
    for name in ("bash", "sh"):
        (tmp_path / "bin" / name).symlink_to(str(shutil.which(name, path=os.defpath)))
    tree = cache / "packages" / "prometheus" / "usr" / "bin"
    broken = "#!/bin/sh\necho libc is too old >&2\nexit 1\n"
    program(tree, "prometheus", broken)
    for _ in range(2):
        with pytest.raises(ProgramUnavailable, match="does not run: libc is too old"):
            binary("prometheus")
    assert installed("prometheus") is None
    program(tree, "prometheus", "#!/bin/sh\n")
    assert binary("prometheus") == cache / "bin" / "prometheus"


def test_alertmanager_is_unpacked_and_starts_where_it_is_not_installed(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It looks for its templates in /usr/share, where this user may put nothing."""
    # apt-get with all that it calls; of this machine's own programs none that is asked for.
    for tool in Path("/usr/bin").iterdir():
        if not any(name in tool.name for name in OURS):
            (tmp_path / "bin" / tool.name).symlink_to(tool)
    file = binary("alertmanager")
    assert file == cache / "bin" / "alertmanager"
    assert not list((cache / "packages").glob(".unpack-*"))
    version = subprocess.run([file, "--version"], capture_output=True, text=True, check=True)
    assert "alertmanager, version" in version.stdout + version.stderr
    assert binary("amtool") == cache / "bin" / "amtool"

    monkeypatch.setenv("SLIPWAY_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SLIPWAY_ALERTMANAGER_PORT", port := str(free_port()))
    configuration.write()
    command = configuration.command("alertmanager", file)
    ready = f"http://127.0.0.1:{port}/-/ready"
    with running(*command, env={}, log=tmp_path / "log", ready=ready) as process:
        # The starter has become the program: whoever ends the one ends the other.
        name = Path(f"/proc/{process.pid}/cmdline").read_bytes().split(b"\0")[0]
        assert name == b"alertmanager"
