"""Requests that Schemathesis makes of the model server's OpenAPI document."""

import subprocess
import sys
from collections.abc import Iterable

import httpx

from tests.conftest import ROOT


def hold_the_contract(
    server: httpx.Client, names: Iterable[str], verbs: Iterable[str] = ("predict",)
) -> None:
    """Send 40 requests to each model's verbs; fail where a response breaks the document."""
    paths = f"^/v1/models/({'|'.join(names)})/({'|'.join(verbs)})$"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "run", f"{server.base_url}/openapi.json"),
            *("--checks", "not_a_server_error,status_code_conformance,response_schema_conformance"),
            *("--include-path-regex", paths),
            *("--max-examples", "40", "--phases", "examples,fuzzing"),
            *("--seed", "7", "--workers", "1", "--no-color"),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
