"""Only versions that a trusted key signed are run: by services, and by the promotion rule."""

import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from slipway.cli import app
from slipway.contract.shipped import Shipped
from slipway.registry import promotions, registered, reregister, signatures, signed
from slipway.registry.digest import digest
from slipway.registry.signatures import KeyFault, NotSigned
from slipway.training.workspace import Workspace
from tests.small_models import SmallModels
from tests.workspaces import linked

DIGEST = "ab" * 32


@pytest.fixture(scope="module")
def registry(own_home: Path, tmp_path_factory: pytest.TempPathFactory) -> SmallModels:
    return SmallModels(tmp_path_factory.mktemp("signed"), ["houses"])


@pytest.fixture
def active(registry: SmallModels) -> Iterator[SmallModels]:
    with registry.active():
        yield registry
        signatures.sign_version(registry.client, champion(registry))


@pytest.fixture
def own_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home that has no keys yet."""
    monkeypatch.delenv(signatures.SIGNING_KEY)
    monkeypatch.setenv("SLIPWAY_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def champion(registry: SmallModels) -> Any:
    return registry.client.get_model_version("houses", "1")


def tags(name: str = "houses", digest: str = DIGEST) -> dict[str, str]:
    return {"digest": digest, signatures.TAG: signatures.sign(name, digest)}


def test_the_first_signature_makes_a_key_for_its_owner_only(own_keys: Path) -> None:
    signatures.check("houses", "1", tags())
    assert (own_keys / "signing-key").stat().st_mode & 0o777 == 0o600
    assert (own_keys / "trusted-keys").read_text() == signatures.public_pem()
    private = (own_keys / "signing-key").read_bytes()
    signatures.check("houses", "2", tags())
    assert (own_keys / "signing-key").read_bytes() == private
    assert (own_keys / "trusted-keys").read_text() == signatures.public_pem()


Change = Callable[[dict[str, str]], dict[str, str]]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda signed: {"digest": signed["digest"]}, "it is not signed"),
        (lambda signed: {**signed, signatures.TAG: ""}, "it is not signed"),
        (lambda signed: {**signed, signatures.TAG: "no base64!"}, "it is not signed"),
        (lambda signed: {**signed, signatures.TAG: "c2hvcnQ="}, "by no trusted key"),
        (lambda signed: {**signed, "digest": "cd" * 32}, "by no trusted key"),
        (lambda signed: {signatures.TAG: signed[signatures.TAG]}, "by no trusted key"),
        (lambda _: tags("loans"), "by no trusted key"),
    ],
)
def test_a_signature_is_of_one_name_and_one_digest(change: Change, reason: str) -> None:
    with pytest.raises(NotSigned, match=f"^houses v7: .*{reason}; .* sign houses 7$"):
        signatures.check("houses", "7", change(tags()))


def test_a_server_without_the_private_key_trusts_the_public_ones(
    own_keys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = tags()
    first_public = signatures.public_pem()
    (own_keys / "signing-key").unlink()
    second = tags()
    monkeypatch.setenv("SLIPWAY_HOME", str(tmp_path / "server"))
    keys = tmp_path / "server" / "trusted-keys"
    keys.parent.mkdir()
    with pytest.raises(NotSigned):
        signatures.check("houses", "1", first)
    keys.write_text(f"The trainer's:\n{first_public}")
    signatures.check("houses", "1", first)
    with pytest.raises(NotSigned):
        signatures.check("houses", "1", second)
    keys.write_text((own_keys / "trusted-keys").read_text())
    signatures.check("houses", "1", first)
    signatures.check("houses", "1", second)


def test_a_key_that_cannot_be_used_is_named(
    own_keys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
        PublicFormat,
    )

    other = generate_private_key(SECP256R1())
    signed = tags()
    trusted, private = own_keys / "trusted-keys", own_keys / "signing-key"
    form = (Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    for content in (other.public_key().public_bytes(*form), broken(trusted.read_text()), b"\xff"):
        trusted.write_bytes(content)
        with pytest.raises(KeyFault, match=f"^{trusted}"):
            signatures.check("houses", "1", signed)
    form = (Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    for content in (other.private_bytes(*form), b"no key"):
        private.write_bytes(content)
        with pytest.raises(KeyFault, match=f"signing key {private} is"):
            signatures.sign("houses", DIGEST)
    # One that an operator names is never made: the servers would not trust it.
    missing = own_keys / "missing"
    monkeypatch.setenv(signatures.SIGNING_KEY, str(missing))
    with pytest.raises(KeyFault, match=f"signing key {missing} is unreadable"):
        signatures.sign("houses", DIGEST)
    assert not missing.exists()


def broken(pem: str) -> bytes:
    """Return the PEM with a key of the wrong length in it."""
    first, *_, last = pem.strip().splitlines()
    return "\n".join([first, base64.b64encode(b"short").decode(), last]).encode()


def test_what_is_registered_is_signed(active: SmallModels, tmp_path: Path) -> None:
    version = champion(active)
    signatures.check("houses", "1", version.tags)
    assert registered.fetch("houses", None, tmp_path)[0] == "1"


def test_the_promotion_rule_does_not_run_an_unsigned_champion(
    active: SmallModels, tmp_path: Path
) -> None:
    """Somebody else's version, whose digest is right, has become champion."""
    work = linked(active.works["houses"], tmp_path / "next")
    work.metrics.write_text(json.dumps(json.loads(work.metrics.read_text())) + "\n\n")
    work.receipt.unlink()
    stored = active.client.get_model_version_download_uri("houses", "1")
    proof, place = tmp_path / "was run", Path(stored.removeprefix("file://"))
    code = Shipped(place).code
    original = code.read_text()
    code.write_text(f"open({str(proof)!r}, 'w')\n{original}")
    evil = digest(Shipped(place).parts)
    tags = champion(active).tags
    try:
        active.client.set_model_version_tag("houses", "1", "digest", evil)
        with pytest.raises(NotSigned, match="houses v1: its signature is by no trusted key"):
            signed.register(work)
        with pytest.raises(NotSigned):
            registered.fetch("houses", "1", tmp_path)
    finally:
        code.write_text(original)
        active.client.set_model_version_tag("houses", "1", "digest", tags["digest"])
    assert not proof.exists()
    assert len(active.client.search_model_versions("name='houses'")) == 1


def test_a_run_of_this_checkout_that_is_not_signed_is_signed(
    active: SmallModels, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after an update from a release that did not sign."""
    work = active.works["houses"]
    active.client.delete_model_version_tag("houses", "1", signatures.TAG)
    monkeypatch.setattr(Workspace, "for_project", lambda _: work)
    assert reregister.is_missing(work.project)
    assert reregister.reregister(work.project)
    signatures.check("houses", "1", champion(active).tags)
    assert not reregister.reregister(work.project)


def test_only_a_champion_that_we_registered_is_signed_later(
    active: SmallModels, tmp_path: Path
) -> None:
    """The promotion log has its digest, or a registration of somebody else's would be signed."""
    work = linked(active.works["houses"], tmp_path)
    work.receipt.unlink()
    log = promotions.log_file()
    lines = log.read_text()
    active.client.delete_model_version_tag("houses", "1", signatures.TAG)
    log.unlink()
    with pytest.raises(NotSigned, match="houses v1: it is not signed"):
        signed.register(work)
    log.write_text(lines)
    signed.register(work)
    signatures.check("houses", "1", champion(active).tags)


def test_the_commands_list_and_sign_versions(active: SmallModels) -> None:
    def said(*words: str) -> str:
        done = CliRunner().invoke(app, ["signatures", *words], catch_exceptions=False)
        return done.output

    assert said("list", "houses") == "v1    signed\n"
    active.client.delete_model_version_tag("houses", "1", signatures.TAG)
    assert said("list", "houses").startswith("v1    it is not signed; if it is yours: ")
    assert json.loads(said("list", "houses", "--json"))["1"].startswith("houses v1: it is not")
    assert said("sign", "houses", "1") == "houses v1 is signed\n"
    assert json.loads(said("list", "houses", "--json")) == {"1": "signed"}
    assert said("key") == signatures.public_pem()
    assert "nobody has no versions in sqlite:///" in said("list", "nobody")
    done = CliRunner().invoke(app, ["signatures", "sign", "houses", "9"])
    assert "houses has no version 9 in sqlite:///" in str(done.exception)
