"""API keys: created, verified, rotated, revoked and expired, in real files."""

import hashlib
import json
import os
import stat
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import admission
from slipway.access import keys
from slipway.access.keys import BadKey, KeyFault, Keyring, MissingScope, NoKey
from slipway.access.scopes import Scope
from tests.slipway.python_script import start_python
from tests.waiting import until


@pytest.fixture(autouse=True)
def keys_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SLIPWAY_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def ring() -> Keyring:
    return Keyring(keys.keys_file())


def is_refused(ring: Keyring, text: str) -> bool:
    try:
        ring.authenticate(text)
    except BadKey:
        return True
    return False


def test_a_key_permits_its_scopes() -> None:
    key, text = keys.create("shop", ["score", "predict"], rate=5, days=30)
    ring = Keyring(keys.keys_file())
    for presented in (text, text.encode()):
        assert ring.authenticate(presented) == key
    assert key.scopes == (Scope.PREDICT, Scope.SCORE)
    assert key.expires is not None
    assert key.expires - key.created == pytest.approx(30 * 86400)
    ring.require(key, "predict")
    with pytest.raises(MissingScope, match=f"key {key.id} lacks the scope admin; it has predict"):
        ring.require(key, "admin")


def test_a_caller_without_a_key() -> None:
    ring = Keyring(keys.keys_file())
    with pytest.raises(NoKey):
        ring.authenticate(None)
    assert ring.valid() == []
    assert ring.fault is None
    assert keys.list_keys() == []


def test_the_secret_is_not_in_the_file() -> None:
    key, text = keys.create("shop", ["predict"])
    kept = keys.keys_file().read_text()
    secret = text.removeprefix(f"slw_{key.id}_")
    assert len(secret) == 43
    assert secret not in kept
    assert hashlib.sha256(secret.encode()).hexdigest() in kept


def test_only_the_owner_may_read_the_file() -> None:
    before = os.umask(0)
    try:
        keys.create("shop", ["predict"])
        key, _ = keys.create("till", ["predict"])
        keys.revoke(key.id)
    finally:
        os.umask(before)
    assert stat.S_IMODE(keys.keys_file().stat().st_mode) == 0o600


def test_every_invalid_key_gets_the_same_message() -> None:
    _, good = keys.create("good", ["predict"])
    expired, expired_text = keys.create("expired", ["predict"], days=1e-9)
    revoked, revoked_text = keys.create("revoked", ["predict"])
    keys.revoke(revoked.id)
    other = "A" if good[-1] != "A" else "B"
    presented = [
        *("", "hello", "slw_", good + "=", good + "\n", " " + good, good[:-1], good.upper()),
        *(good[:-1] + other, f"slw_00000000_{good[13:]}", f"slw_{expired.id}_{good[13:]}"),
        *(expired_text, revoked_text),
    ]
    ring = Keyring(keys.keys_file())
    messages = set()
    for text in presented:
        with pytest.raises(BadKey) as caught:
            ring.authenticate(text)
        messages.add((str(caught.value), caught.value.__cause__, caught.value.__context__))
    assert messages == {("the API key is not valid", None, None)}
    assert ring.authenticate(good).name == "good"


@given(
    st.none()
    | st.text(alphabet=st.characters(exclude_categories=[]))  # lone surrogates too
    | st.binary()
    | st.from_regex(keys.FORM, fullmatch=True)
    | st.from_regex(rb"slw_[0-9a-f_]*[A-Za-z0-9_=\n-]*")
)
def test_any_text_raises_bad_key_and_nothing_else(text: bytes | str | None) -> None:
    ring = Keyring(keys.keys_file())
    with pytest.raises(NoKey if text is None else BadKey):
        ring.authenticate(text)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"name": ""}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"scopes": []}, "scopes"),
        ({"scopes": ["everything"]}, "scopes"),
        ({"rate": 0}, "rate"),
        ({"rate": float("nan")}, "rate"),
        ({"rate": 1, "burst": 0.5}, "burst"),
        ({"burst": 5}, "burst needs a rate"),
        ({"days": 0}, "days"),
        ({"days": float("inf")}, "days"),
    ],
)
def test_an_invalid_key_is_not_created(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(KeyFault, match=message):
        keys.create(**{"name": "shop", "scopes": ["predict"], **wrong})
    assert keys.list_keys() == []


def test_a_running_server_notices_expiry() -> None:
    key, text = keys.create("shop", ["predict"], days=3 / 86400)
    ring = Keyring(keys.keys_file())
    assert ring.authenticate(text) == key
    assert ring.valid() == [key]
    until(lambda: is_refused(ring, text))
    assert ring.valid() == []
    assert keys.list_keys()[0].state() == "expired"


def test_a_running_server_notices_revocation(ring: Keyring) -> None:
    key, text = keys.create("shop", ["predict"])
    _, other = keys.create("till", ["predict"])
    until(lambda: not is_refused(ring, text))
    revoked = keys.revoke(key.id)
    until(lambda: is_refused(ring, text))
    assert not is_refused(ring, other)
    assert keys.revoke(key.id) == revoked
    assert keys.list_keys()[0].state() == "revoked"


def test_a_rotated_key_is_valid_for_the_grace_period() -> None:
    old, old_text = keys.create("shop", ["predict", "score"], rate=5, burst=7, days=30)
    ring = Keyring(keys.keys_file())
    assert ring.authenticate(old_text) == old
    before = time.time()
    new, new_text = keys.rotate(old.id, 4)
    rotated = time.time()
    same = {"name", "scopes", "rate", "burst"}
    assert new.model_dump(include=same) == old.model_dump(include=same)
    assert new.expires is not None
    assert new.expires - new.created == pytest.approx(30 * 86400)
    assert keys.list_keys()[0].replaced_by == new.id
    assert keys.list_keys()[0].state() == "replaced"
    until(lambda: not is_refused(ring, new_text))
    assert not is_refused(ring, old_text)
    ends = keys.list_keys()[0].ends
    assert before + 4 <= ends <= rotated + 4

    def has_ended() -> bool:
        """Check that the key is refused exactly from its end on."""
        before = time.time()
        ended = is_refused(ring, old_text)
        assert before < ends if not ended else time.time() >= ends
        return ended

    until(has_ended)
    assert not is_refused(ring, new_text)


def test_which_keys_cannot_be_rotated_or_revoked() -> None:
    old, text = keys.create("shop", ["predict"])
    new, _ = keys.rotate(old.id, 60)
    with pytest.raises(KeyFault, match=f"already rotated: rotate its successor {new.id}"):
        keys.rotate(old.id, 60)
    keys.revoke(new.id)
    with pytest.raises(KeyFault, match="is revoked: create a new one"):
        keys.rotate(new.id, 60)
    with pytest.raises(KeyFault, match="grace"):
        keys.rotate(new.id, -1)
    with pytest.raises(KeyFault, match="there is no key 00000000"):
        keys.revoke("00000000")
    with pytest.raises(KeyFault) as caught:
        keys.revoke(text)
    assert text not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b'{"keys": [{}]}', b'{"key": []}', b"[]"])
def test_a_damaged_file_keeps_the_last_good_state(content: bytes) -> None:
    _, text = keys.create("shop", ["predict"])
    ring = Keyring(keys.keys_file())
    good = keys.keys_file().read_bytes()
    keys.keys_file().write_bytes(content)
    until(lambda: not is_refused(ring, text) and ring.fault is not None)
    assert "keys.json is damaged, restore a copy: " in str(ring.fault)
    assert not is_refused(ring, text)
    with pytest.raises(KeyFault, match="keys.json is damaged"):
        keys.create("till", ["predict"])
    assert keys.keys_file().read_bytes() == content
    keys.keys_file().write_bytes(good)
    until(lambda: not is_refused(ring, text) and ring.fault is None)
    keys.keys_file().unlink()
    until(lambda: is_refused(ring, text))
    assert ring.fault is None


def test_a_file_with_one_id_twice_is_damaged() -> None:
    keys.create("shop", ["predict"])
    kept = json.loads(keys.keys_file().read_text())
    keys.keys_file().write_text(json.dumps({"keys": kept["keys"] * 2}))
    assert "two keys have the same id" in str(Keyring(keys.keys_file()).fault)


def test_a_file_that_cannot_be_read_keeps_the_last_good_state() -> None:
    _, text = keys.create("shop", ["predict"])
    ring = Keyring(keys.keys_file())
    keys.keys_file().rename(keys.keys_file().with_name("elsewhere"))
    keys.keys_file().mkdir()
    until(lambda: not is_refused(ring, text) and ring.fault is not None)
    assert "cannot be read: Is a directory" in str(ring.fault)
    keys.keys_file().rmdir()
    keys.keys_file().with_name("elsewhere").rename(keys.keys_file())
    until(lambda: not is_refused(ring, text) and ring.fault is None)


CREATOR = """
import sys
from slipway.access import keys
for number in range(15):
    print(keys.create(f"{sys.argv[1]} {number}", ["predict"])[1])
"""


def test_two_processes_create_keys_at_the_same_time() -> None:
    processes = [start_python(CREATOR, name) for name in ("one", "two")]
    texts = [line for each in processes for line in each.communicate(timeout=600)[0].split()]
    assert len(set(texts)) == 30
    assert len(keys.list_keys()) == 30
    ring = Keyring(keys.keys_file())
    assert not any(is_refused(ring, text) for text in texts)


def test_the_number_of_verified_texts_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "MAX_VERIFIED", 2)
    texts = [keys.create("shop", ["predict"])[1] for _ in range(5)]
    ring = Keyring(keys.keys_file())
    for text in [*texts, *texts]:
        ring.authenticate(text)
        assert len(ring._state.verified) <= 2


def executed(function: Callable[[], object]) -> tuple[int, set[str]]:
    """Return how many bytecodes the function executes, and the built-in functions it calls."""
    bytecodes, called = 0, []

    def count(frame: Any, event: str, _: object) -> Any:
        nonlocal bytecodes
        frame.f_trace_opcodes = True
        bytecodes += event == "opcode"
        return count

    def note(_: object, event: str, called_function: Any) -> None:
        if event == "c_call":
            called.append(called_function.__name__)

    sys.settrace(count)
    sys.setprofile(note)
    try:
        function()
    finally:
        sys.setprofile(None)
        sys.settrace(None)
    return bytecodes, set(called) - {"setprofile"}


def test_a_request_costs_little_arithmetic(tmp_path: Path) -> None:
    # benchmarks/admission.py measures its microseconds.
    steps = admission.steps(tmp_path)
    for name, step in steps.items():
        step()
        bytecodes, called = executed(step)
        assert 5 < bytecodes < 150, name
        assert called <= {"get", "isinstance", "monotonic", "sum", "time"}, name
    assert steps["rate limit, request admitted"]() == 0.0


def test_only_the_first_use_of_a_key_is_hashed(keys_home: Path) -> None:
    _, text = keys.create("shop", ["predict"])
    ring = Keyring(keys.keys_file())
    assert "openssl_sha256" in executed(lambda: ring.authenticate(text))[1]
    assert "openssl_sha256" not in executed(lambda: ring.authenticate(text))[1]
