"""`python -m services.health predict`: check that a service on this machine responds.

A container's health check runs it; the exit status is 1 on failure. It checks liveness, not
readiness, since a server that has no model yet is healthy.
"""

import sys
import urllib.error
import urllib.request

from slipway import home

SECONDS = 4.0
# MLflow and Streamlit have paths of their own; all other services use /v1/live.
PATHS = {"mlflow": "/health", "explain": "/_stcore/health"}


def main(name: str) -> int:
    """Return 0 if the service responds within four seconds, else 1."""
    address = f"http://{home.LOOPBACK}:{home.port(name)}{PATHS.get(name, '/v1/live')}"
    try:
        with urllib.request.urlopen(address, timeout=SECONDS) as response:
            return 0 if response.status == 200 else 1
    except (urllib.error.URLError, OSError) as error:
        print(f"{name}: {address}: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
