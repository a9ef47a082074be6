"""The audit log, and the commands that write to it."""

import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from slipway.access import audit, commands, keys
from slipway.access.keys import Keyring
from slipway.registry.chain import ChainBroken


@pytest.fixture(autouse=True)
def keys_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SLIPWAY_HOME", str(tmp_path))
    return tmp_path


def run(*words: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(commands.app, [str(word) for word in words])
    return result.exit_code, result.stdout, result.stderr


def test_the_audit_log_is_chained() -> None:
    audit.record(
        actor="admin ab12", action="rollback", target="iris", detail={"to": 3}, outcome="done"
    )
    entry = audit.entries()[0]
    assert entry["previous"] == ""
    assert (entry["actor"], entry["target"], entry["detail"]) == ("admin ab12", "iris", {"to": 3})
    audit.record(actor="b", action="c", target="d", detail={}, outcome="done")
    file = audit.log().file
    file.write_text(file.read_text().replace("rollback", "promote"))
    with pytest.raises(ChainBroken, match="audit.jsonl line 2 does not follow line 1"):
        audit.entries()


def test_the_commands_change_keys_and_are_recorded() -> None:
    code, text, stderr = run(
        *("create", "shop", "--scope", "predict", "--scope", "score"),
        *("--rate", 5, "--burst", 10, "--days", 30),
    )
    assert code == 0
    assert "This is the only time that it is shown" in stderr
    ring = Keyring(keys.keys_file())
    old = ring.authenticate(text.strip())
    assert (old.name, old.scopes, old.rate, old.burst) == ("shop", ("predict", "score"), 5, 10)

    code, new_text, stderr = run("rotate", old.id, "--grace-seconds", 60)
    assert code == 0
    assert f"{old.id} is valid for 60 s more" in stderr
    ring = Keyring(keys.keys_file())
    new = ring.authenticate(new_text.strip())
    assert run("revoke", old.id) == (0, f"key {old.id} of shop is revoked\n", "")
    code, table, _ = run("list")
    assert code == 0
    first, second = table.splitlines()
    assert first.startswith(f"{old.id}  shop ")
    assert f"revoked by {new.id} since 20" in first
    assert second.startswith(f"{new.id}  shop ")
    assert "valid until 20" in second
    assert second.endswith("5/s  predict,score")

    recorded = audit.entries()
    user = subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()
    assert {entry["actor"] for entry in recorded} == {f"command line ({user})"}
    assert [(entry["action"], entry["target"], entry["outcome"]) for entry in recorded] == [
        ("keys.create", old.id, "done"),
        ("keys.rotate", old.id, "done"),
        ("keys.revoke", old.id, "done"),
    ]
    assert recorded[0]["detail"]["scopes"] == ["predict", "score"]
    assert recorded[1]["detail"] == {"grace_seconds": 60, "replaced_by": new.id}
    everything = table + audit.log().file.read_text() + keys.keys_file().read_text()
    for secret in (text.strip()[13:], new_text.strip()[13:]):
        assert secret not in everything


def test_failed_commands_are_recorded() -> None:
    assert run("create", "shop", "--rate", 0)[0] == 1
    assert run("revoke", "00000000")[0] == 1
    recorded = [(each["action"], each["target"], each["outcome"]) for each in audit.entries()]
    assert recorded == [
        ("keys.create", "", "failed: rate: Input should be greater than 0"),
        (
            "keys.revoke",
            "00000000",
            "failed: there is no key 00000000; `slipway keys list` shows them",
        ),
    ]
    assert keys.list_keys() == []


def test_a_key_given_as_an_id_is_repeated_nowhere() -> None:
    _, text, _ = run("create", "shop")
    code, out, stderr = run("revoke", text.strip())
    assert code == 2
    assert "an id is 8 hexadecimal digits" in stderr
    assert text.strip()[13:] not in out + stderr + audit.log().file.read_text()


def test_no_key_is_printed_without_a_record() -> None:
    audit.log().file.mkdir()
    code, out, stderr = run("create", "shop")
    assert code == 1
    assert "slw_" not in out + stderr
