"""The model server runs only versions that a key that it trusts has signed."""

from pathlib import Path

import pytest

from slipway.contract.shipped import Shipped
from slipway.registry import signatures
from slipway.registry.digest import digest
from tests.services.fake_models import ModelRegistryFixture, Server, echo
from tests.waiting import until


def faults(server: Server) -> dict[str, str]:
    found: dict[str, str] = server.client.get("/v1/models").json()["faults"]
    return found


def test_a_version_of_somebody_else_is_never_run(tmp_path: Path) -> None:
    """It has the right digest; nobody with the key signed it, until somebody does."""
    registry = ModelRegistryFixture(tmp_path)
    registry.add("model", echo("one"))
    proof = tmp_path / "was run"
    with registry.serving() as server:
        version = registry.add("model", echo("two"), alias=None)
        shipped = Shipped(registry.artifact("model", version))
        shipped.code.write_text(f"open({str(proof)!r}, 'w')\n{shipped.code.read_text()}")
        client = registry.client
        client.set_model_version_tag("model", version, "digest", digest(shipped.parts))
        client.set_registered_model_alias("model", "champion", version)
        until(lambda: "its signature is by no trusted key" in faults(server).get("model", ""))
        client.delete_model_version_tag("model", version, signatures.TAG)
        until(lambda: "it is not signed" in faults(server).get("model", ""))
        assert "slipway signatures sign model 2" in faults(server)["model"]
        assert server.predict("model")["version"] == "1"
        assert not proof.exists()
        signatures.sign_version(client, client.get_model_version("model", version))
        until(lambda: server.predict("model")["version"] == version)
        assert proof.exists()
        assert not faults(server)


def test_a_key_that_is_trusted_no_longer_ends_what_it_signed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server has no private key, as in a container."""
    registry = ModelRegistryFixture(tmp_path)
    registry.add("model", echo("model"))
    public = signatures.public_pem()
    monkeypatch.setenv(signatures.SIGNING_KEY, str(tmp_path / "none"))
    keys = registry.home / "trusted-keys"
    keys.write_text(public)
    with registry.serving() as server:
        assert server.request("model").status_code == 200
    keys.write_text("")
    with registry.serving(ready=False) as server:
        until(lambda: "by no trusted key" in faults(server).get("model", ""))
        refused = server.request("model")
        assert refused.status_code == 503
        assert "by no trusted key" in refused.json()["detail"]
    keys.write_text(public)
    with registry.serving() as server:
        assert server.request("model").status_code == 200
