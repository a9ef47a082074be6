"""Where the server may listen: on loopback, or elsewhere if somebody holds a key."""

import ipaddress

from services.predict.settings import Settings
from slipway.access.keys import Keyring, keys_file


class Unguarded(Exception):
    """The server would be open to the network without any key."""


def on_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def check(settings: Settings) -> None:
    """Raises Unguarded: an address for others to reach, and no key to let them in."""
    if not on_loopback(settings.host) and not Keyring(keys_file()).valid():
        raise Unguarded(
            f"{settings.host} can be reached from other machines and there is no API key: make "
            "one with `slipway keys create NAME --scope predict`, or listen on 127.0.0.1"
        )
