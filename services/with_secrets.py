"""`python -m services.with_secrets COMMAND ...`: run COMMAND with secrets read from files.

If `SLIPWAY_REDIS_URL_FILE` names a file, COMMAND gets its content as `SLIPWAY_REDIS_URL`. A secret
therefore appears neither in a compose file nor in the output of `docker inspect`. COMMAND replaces
this process.
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

# Variables of the Slipway services, and the address of MLflow's database.
PREFIXES = ("SLIPWAY_", "MLFLOW_")
SUFFIX = "_FILE"


class NoSecret(Exception):
    """Raised when a file that a variable names cannot be read; the message names it."""


def read(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that are given by files, each with the content of its file.

    Raises:
        NoSecret: a file does not exist, or is empty.
    """
    secrets = {}
    for name, path in environment.items():
        if name.startswith(PREFIXES) and name.endswith(SUFFIX):
            secrets[name.removesuffix(SUFFIX)] = _text(name, Path(path))
    return secrets


def _text(name: str, file: Path) -> str:
    try:
        text = file.read_text().strip()
    except OSError as error:
        raise NoSecret(f"{name}: {file}: {error.strerror}") from None
    if not text:
        raise NoSecret(f"{name}: {file} is empty")
    return text


def main(command: list[str]) -> int:
    """Run the command; return only if that fails."""
    if not command:
        print("with_secrets: name the command to run", file=sys.stderr)
        return 2
    try:
        os.environ.update(read(os.environ))
        os.execvp(command[0], command)
    except (NoSecret, OSError) as fault:
        print(f"with_secrets: {fault}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
