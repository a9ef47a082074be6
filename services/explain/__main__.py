"""Entry point of `python -m services.explain` and `slipway dashboard`, on this machine only."""

import importlib.util
import ipaddress
import os
import sys
from pathlib import Path

from slipway import home

PAGE = Path(__file__).with_name("page.py")
HOST = "SLIPWAY_EXPLAIN_HOST"


def host() -> str:
    """Return the address to listen on: loopback, since Streamlit has no API keys.

    A container listens on all of its own addresses; what may reach it is for its networks and its
    published port to say.

    Raises:
        ValueError: the variable is not an IP address.
    """
    value = os.environ.get(HOST, home.LOOPBACK)
    try:
        return str(ipaddress.ip_address(value))
    except ValueError:
        raise ValueError(f"{HOST} must be an IP address, got {value!r}") from None


def command(host: str, port: int) -> list[str]:
    """Return the command that runs Streamlit."""
    options = {
        "server.address": host,
        "server.port": str(port),
        # The address that it prints; otherwise Streamlit looks up this machine's on the internet.
        "browser.serverAddress": home.LOOPBACK,
        "server.headless": "true",
        # The page does not change while it runs, and the file watcher would import torch.
        "server.fileWatcherType": "none",
        "browser.gatherUsageStats": "false",
        "client.toolbarMode": "minimal",
    }
    words = [f"--{name}={value}" for name, value in options.items()]
    return [sys.executable, "-m", "streamlit", "run", str(PAGE), *words]


def main() -> int:
    """Replace this process by Streamlit; return 1 and print the reason if it cannot start."""
    home.silence_telemetry()
    if importlib.util.find_spec("streamlit") is None:
        reason = "Streamlit is not installed; `make env` installs it with the group `methods`"
        print(f"explain: {reason}", file=sys.stderr)
        return 1
    try:
        words = command(host(), home.port("explain"))
    except ValueError as error:
        print(f"explain: {error}", file=sys.stderr)
        return 1
    # Streamlit puts the page's folder on the path, not the repository.
    paths = [str(home.root()), os.environ.get("PYTHONPATH", "")]
    os.environ["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    os.execv(words[0], words)


if __name__ == "__main__":
    sys.exit(main())
