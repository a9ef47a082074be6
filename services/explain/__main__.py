"""`python -m services.explain`, or `slipway dashboard`: the page, for this machine alone."""

import importlib.util
import os
import sys
from pathlib import Path

from slipway import home

PAGE = Path(__file__).with_name("page.py")


def command(port: int) -> list[str]:
    """Streamlit on loopback: it has no keys, so no other machine may reach it."""
    options = {
        "server.address": home.LOOPBACK,
        "server.port": str(port),
        "server.headless": "true",
        # A page that is served does not change; watching its files would import torch's.
        "server.fileWatcherType": "none",
        "browser.gatherUsageStats": "false",
        "client.toolbarMode": "minimal",
    }
    words = [f"--{name}={value}" for name, value in options.items()]
    return [sys.executable, "-m", "streamlit", "run", str(PAGE), *words]


def main() -> int:
    """Become Streamlit's process; 1 if it cannot start, with the reason on the standard error."""
    home.silence_telemetry()
    if importlib.util.find_spec("streamlit") is None:
        told = "Streamlit is not installed: it is of the group `methods`, which `make env` installs"
        print(f"explain: {told}", file=sys.stderr)
        return 1
    try:
        words = command(home.port("explain"))
    except ValueError as error:
        print(f"explain: {error}", file=sys.stderr)
        return 1
    # Streamlit puts the page's folder on the path, not the repository.
    paths = [str(home.root()), os.environ.get("PYTHONPATH", "")]
    os.environ["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    os.execv(words[0], words)


if __name__ == "__main__":
    sys.exit(main())
