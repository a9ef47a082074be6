"""`python -m services.health predict`: whether that service answers here; exit 1 if not.

What a container's health check runs: it asks for life, not readiness, since a server without a
model yet is not ill.
"""

import sys
import urllib.error
import urllib.request

from slipway import home

SECONDS = 4.0
# MLflow's own; ours all have the other one.
PATHS = {"mlflow": "/health"}


def main(name: str) -> int:
    """0 if it answers within four seconds."""
    address = f"http://{home.LOOPBACK}:{home.port(name)}{PATHS.get(name, '/v1/live')}"
    try:
        with urllib.request.urlopen(address, timeout=SECONDS) as answer:
            return 0 if answer.status == 200 else 1
    except (urllib.error.URLError, OSError) as error:
        print(f"{name}: {address}: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
