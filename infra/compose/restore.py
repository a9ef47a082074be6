"""`python -m infra.compose.restore < FILE`: restore a backup into an empty stack."""

import json
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import PurePosixPath
from typing import IO

from infra.compose import contents

# Files that an empty stack's volumes hold: `prepare` writes them each time.
MADE_ANEW = frozenset({"keys.json", "keys.lock", "audit.jsonl", "audit.lock", "trusted-keys"})
# A table that every database of MLflow has.
COUNT_TABLES = (
    "SELECT count(*) FROM information_schema.tables WHERE table_name = 'registered_models'"
)


class CannotRestore(Exception):
    """The stack is not empty, or the input is not a backup; the message says which."""


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
    """Restore the files, then the database: until then nothing is registered, and a retry is safe.

    Raises:
        CannotRestore: the stack is not empty, or the archive has another format.
        TarError, EOFError: the archive is damaged.
    """
    ensure_empty()
    count = 0
    with tempfile.TemporaryFile() as dump, tarfile.open(fileobj=stream, mode="r|gz") as archive:
        found = None
        for member in archive:
            source = archive.extractfile(member)
            if source is None:
                raise CannotRestore(
                    f"{member.name} is not a file: this is not a backup of the stack"
                )
            if member.name == contents.ABOUT:
                found = _checked(json.load(source))
            elif found is None:
                raise CannotRestore(f"the archive begins with {member.name}, not {contents.ABOUT}")
            elif member.name == contents.DATABASE:
                dump.write(source.read())
            else:
                _put(member, source)
                count += 1
        if found is None or dump.tell() == 0:
            raise CannotRestore(
                "the archive holds no database: it is not a backup, or is truncated"
            )
        dump.seek(0)
        _read_database(dump)
    print(f"restore: the database and {count} files of {found}", file=sys.stderr)


def ensure_empty() -> None:
    """Check that no existing data would be overwritten or mixed with the backup.

    Raises:
        CannotRestore: there is such data.
    """
    if _query(COUNT_TABLES) != "0":
        raise CannotRestore(
            "MLflow's database holds tables: stop the stack and delete its volumes first "
            "(docker compose down --volumes), and restore before anything else starts"
        )
    for name in contents.NAMES:
        for file in (contents.HERE / name).rglob("*"):
            if file.is_file() and not (name == "keyring" and file.name in MADE_ANEW):
                raise CannotRestore(f"{file} exists: docker compose down --volumes first")


def _checked(about: object) -> str:
    """Return when the backup was made. Raises CannotRestore: it has another format."""
    if not isinstance(about, dict) or about.get("form") != contents.FORM:
        raise CannotRestore(f"form: must be {contents.FORM}, got {about!r:.60}")
    return str(about["made"])


def _put(member: tarfile.TarInfo, source: IO[bytes]) -> None:
    """Write a file with its mode, into one of the known volumes and nowhere else."""
    parts = PurePosixPath(member.name).parts
    if ".." in parts or len(parts) < 3 or parts[0] != contents.VOLUMES:
        raise CannotRestore(f"{member.name} does not belong in a backup")
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


def _query(query: str) -> str:
    return _database("psql", "--no-psqlrc", "--tuples-only", "--no-align", "--command", query)


def _read_database(dump: IO[bytes]) -> None:
    _database("pg_restore", "--no-owner", "--exit-on-error", "--single-transaction", stdin=dump)


if __name__ == "__main__":
    sys.exit(main())
