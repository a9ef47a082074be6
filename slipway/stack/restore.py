"""`python -m slipway.stack.restore < FILE`: fill an empty stack with what a backup holds."""

import json
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import PurePosixPath
from typing import IO

from slipway.stack import contents

# What stands in an empty stack's volumes: `prepare` makes it each time.
MADE_ANEW = frozenset({"keys.json", "keys.lock", "audit.jsonl", "audit.lock"})
# Of MLflow's tables, the one that each database of it has.
ASK = "SELECT count(*) FROM information_schema.tables WHERE table_name = 'registered_models'"


class CannotRestore(Exception):
    """The stack is not empty, or this is no backup; the message says which."""


def main() -> int:
    if sys.stdin.isatty():
        print("restore: redirect a backup to the input: restore < backup.tar.gz", file=sys.stderr)
        return 2
    try:
        restore(sys.stdin.buffer)
    except (CannotRestore, tarfile.TarError, EOFError, subprocess.CalledProcessError) as fault:
        print(f"restore: {fault}", file=sys.stderr)
        return 1
    return 0


def restore(stream: IO[bytes]) -> None:
    """Files first, the database last: without it nothing is registered, and it can be done again.

    Raises:
        CannotRestore: the stack holds something, or the archive is of another form.
        TarError, EOFError: the archive is damaged.
    """
    ensure_empty()
    count = 0
    with tempfile.TemporaryFile() as dump, tarfile.open(fileobj=stream, mode="r|gz") as archive:
        found = None
        for member in archive:
            source = archive.extractfile(member)
            if source is None:
                raise CannotRestore(f"{member.name} is no file: this is no backup of the stack")
            if member.name == contents.ABOUT:
                found = _checked(json.load(source))
            elif found is None:
                raise CannotRestore(f"it begins with {member.name}, not {contents.ABOUT}")
            elif member.name == contents.DATABASE:
                dump.write(source.read())
            else:
                _put(member, source)
                count += 1
        if found is None or dump.tell() == 0:
            raise CannotRestore("it holds no database: this is no backup, or the end is missing")
        dump.seek(0)
        _read_database(dump)
    print(f"restore: the database and {count} files of {found}", file=sys.stderr)


def ensure_empty() -> None:
    """Raises CannotRestore: something would be overwritten, or mixed with what is restored."""
    if _asked(ASK) != "0":
        raise CannotRestore(
            "MLflow's database holds tables: stop the stack and delete its volumes first "
            "(docker compose down --volumes), and restore before anything else starts"
        )
    for name in contents.NAMES:
        for file in (contents.HERE / name).rglob("*"):
            if file.is_file() and not (name == "keyring" and file.name in MADE_ANEW):
                raise CannotRestore(f"{file} is there: docker compose down --volumes first")


def _checked(told: object) -> str:
    """When the backup was made."""
    if not isinstance(told, dict) or told.get("form") != contents.FORM:
        raise CannotRestore(f"form: must be {contents.FORM}, got {told!r:.60}")
    return str(told["made"])


def _put(member: tarfile.TarInfo, source: IO[bytes]) -> None:
    """A file with its mode, in a volume that we know and nowhere else."""
    parts = PurePosixPath(member.name).parts
    if ".." in parts or len(parts) < 3 or parts[0] != contents.VOLUMES:
        raise CannotRestore(f"{member.name} does not belong into a backup")
    if parts[1] not in contents.NAMES:
        raise CannotRestore(f"{member.name}: there is no volume {parts[1]}")
    file = contents.HERE.joinpath(*parts[1:])
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("wb") as target:
        while block := source.read(2**20):
            target.write(block)
        target.flush()
        os.fsync(target.fileno())
    file.chmod(member.mode & 0o777)


def _database(*command: str, stdin: IO[bytes] | None = None) -> str:
    address, password = contents.password_free(os.environ["MLFLOW_BACKEND_STORE_URI"])
    done = subprocess.run(
        [*command, "--dbname", address],
        check=True,
        stdin=stdin or subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PGPASSWORD": password},
    )
    return done.stdout.strip()


def _asked(query: str) -> str:
    return _database("psql", "--no-psqlrc", "--tuples-only", "--no-align", "--command", query)


def _read_database(dump: IO[bytes]) -> None:
    _database("pg_restore", "--no-owner", "--exit-on-error", "--single-transaction", stdin=dump)


if __name__ == "__main__":
    sys.exit(main())
