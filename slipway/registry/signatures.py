"""Signatures of registered versions: the services run the code only of versions that we signed.

Whoever can write to the registry, or to its store, could otherwise have any code run by the
services. Whoever registers a version signs its name and digest with the private key (Ed25519);
services have the public keys only. The digest covers every file, so a changed file is found as
well.

Both files are PEM, as OpenSSL reads and writes it:

    signing-key     the private key; made with the first registration, for its owner only
    trusted-keys    public keys, one after another, beside the keyring of the services

A signature does not say that a version may be served: a signed version can be made champion by
whoever can move aliases in the registry.
"""

import base64
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slipway import paths
from slipway.files import replace_text
from slipway.keyring import keys_file
from slipway.registry import tracking

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (
        Ed25519PrivateKey,
        Ed25519PublicKey,
    )
    from mlflow import MlflowClient

TAG = "signature"
SIGNING_KEY = "SLIPWAY_SIGNING_KEY"
_PEM = re.compile(r"-----BEGIN PUBLIC KEY-----.*?-----END PUBLIC KEY-----", re.DOTALL)


class NotSigned(Exception):
    """Raised for a version without a valid signature by a trusted key; none of it was run."""


class KeyFault(Exception):
    """Raised if a key file is missing or unreadable; the message names it."""


def signing_key_file() -> Path:
    """Return $SLIPWAY_SIGNING_KEY, else `signing-key` in the home."""
    return Path(os.environ.get(SIGNING_KEY) or paths.home() / "signing-key")


def trusted_keys_file() -> Path:
    """Return the file with the public keys, beside the keyring."""
    return keys_file().with_name("trusted-keys")


def make_key(private: Path, trusted: Path) -> bool:
    """Make the private key unless there is one, and trust it; return whether it was made.

    Raises:
        KeyFault: the private key is none of Ed25519.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
    )

    made = not private.is_file()
    if made:
        private.parent.mkdir(parents=True, exist_ok=True)
        text = Ed25519PrivateKey.generate().private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
        )
        replace_text(private, text.decode(), mode=0o600)
    public = public_pem(private)
    known = trusted.read_text() if trusted.is_file() else ""
    if public.strip() not in known:
        trusted.parent.mkdir(parents=True, exist_ok=True)
        replace_text(trusted, known + public, mode=0o644)
    return made


def public_pem(private: Path | None = None) -> str:
    """Return the public key of a private key, by default of ours.

    Raises:
        KeyFault: there is none, or it is none of Ed25519.
    """
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    public = _private_key(private or signing_key_file()).public_key()
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def sign(name: str, digest: str) -> str:
    """Return our signature of a version's digest, in base64.

    Without $SLIPWAY_SIGNING_KEY, a missing key is made and trusted.

    Raises:
        KeyFault: the key is missing or unreadable.
    """
    if SIGNING_KEY not in os.environ:
        with tracking.writing():
            make_key(signing_key_file(), trusted_keys_file())
    return base64.b64encode(_private_key(signing_key_file()).sign(_text(name, digest))).decode()


def sign_version(registry: "MlflowClient", version: Any) -> None:
    """Sign a registered version, unless its signature is valid already.

    Raises:
        KeyFault: the key is missing or unreadable.
    """
    name, number = version.name, str(version.version)
    try:
        check(name, number, version.tags)
    except NotSigned:
        signature = sign(name, version.tags.get("digest", ""))
        registry.set_model_version_tag(name, number, TAG, signature)


def check(name: str, number: str, tags: Mapping[str, str]) -> None:
    """Check that a trusted key signed the digest in a version's tags.

    Raises:
        NotSigned: none did.
        KeyFault: a key file is unreadable.
    """
    from cryptography.exceptions import InvalidSignature

    try:
        signature = base64.b64decode(tags.get(TAG, ""), validate=True)
    except ValueError:
        signature = b""
    text = _text(name, tags.get("digest", ""))
    for key in _trusted() if signature else ():
        try:
            key.verify(signature, text)
            return
        except InvalidSignature:
            continue
    reason = "its signature is by no trusted key" if signature else "it is not signed"
    raise NotSigned(
        f"{name} v{number}: {reason}; if it is yours: slipway signatures sign {name} {number}"
    )


def _trusted() -> Iterable["Ed25519PublicKey"]:
    """Yield the trusted keys, and our own, which signs and therefore is trusted here."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    file = trusted_keys_file()
    try:
        for text in _PEM.findall(file.read_text()) if file.is_file() else ():
            key = load_pem_public_key(text.encode())
            if not isinstance(key, Ed25519PublicKey):
                raise KeyFault(f"{file}: a key in it is none of Ed25519")
            yield key
    except (ValueError, OSError) as error:
        raise KeyFault(f"{file} is unreadable: {error}") from error
    if signing_key_file().is_file() and os.access(signing_key_file(), os.R_OK):
        yield _private_key(signing_key_file()).public_key()


def _private_key(file: Path) -> "Ed25519PrivateKey":
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(file.read_bytes(), password=None)
    except (ValueError, TypeError, OSError) as error:
        raise KeyFault(f"signing key {file} is unreadable: {error}") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyFault(f"signing key {file} is none of Ed25519")
    return key


def _text(name: str, digest: str) -> bytes:
    return f"slipway version 1\n{name}\n{digest}\n".encode()
