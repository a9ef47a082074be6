"""`python -m services.with_secrets COMMAND ...`: run COMMAND with secrets that lie in files.

Where `SLIPWAY_REDIS_URL_FILE` names a file, COMMAND finds its text as `SLIPWAY_REDIS_URL`. So a
secret stands neither in a compose file nor in what `docker inspect` shows. COMMAND takes this
process's place.
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

# Those of our services, and the address of MLflow's database.
PREFIXES = ("SLIPWAY_", "MLFLOW_")
SUFFIX = "_FILE"


class NoSecret(Exception):
    """A file that a variable names cannot be read; the message says which."""


def read(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that files stand for, each with its file's text.

    Raises:
        NoSecret: a file is not there, or empty.
    """
    found = {}
    for name, place in environment.items():
        if name.startswith(PREFIXES) and name.endswith(SUFFIX):
            found[name.removesuffix(SUFFIX)] = _text(name, Path(place))
    return found


def _text(name: str, file: Path) -> str:
    try:
        text = file.read_text().strip()
    except OSError as error:
        raise NoSecret(f"{name}: {file}: {error.strerror}") from None
    if not text:
        raise NoSecret(f"{name}: {file} is empty")
    return text


def main(command: list[str]) -> int:
    """Returns only if COMMAND cannot be run."""
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
