"""What a backup of the stack holds, and how it is laid out.

    slipway-backup.json    of which form it is, and when it was made
    database.dump          MLflow's database, in pg_dump's own form
    volumes/<name>/...     files of the volumes below

Left out: features, which `materialize` makes again; passwords, which `prepare` draws anew;
Prometheus' figures, Alertmanager's silences and Grafana's database, which nothing else stands on;
what model servers keep of their own, which they fetch again.
"""

from pathlib import Path

FORM = 1
ABOUT, DATABASE, VOLUMES = "slipway-backup.json", "database.dump", "volumes"
HERE = Path("/volumes")
# Keys of callers; registered models; prediction records and truths; promotions and runs; references
# and reports. All belong to the one user that our services run as.
NAMES = ("keyring", "mlflow", "predictions", "training", "monitor")
# Made again by whoever finds them missing; data sets can be gigabytes.
LEFT_OUT = frozenset({"training/cache", "training/repository", "training/features"})
# SQLite's files are copied by SQLite: a plain copy of a database in use is a torn one.
SQLITE = b"SQLite format 3\0"
SQLITE_OWN = ("-wal", "-shm", "-journal")


def password_free(uri: str) -> tuple[str, str]:
    """The database's address without its password, and the password: programs show their words."""
    head, _, rest = uri.partition("://")
    user, _, place = rest.rpartition("@")
    name, _, password = user.partition(":")
    return f"{head}://{name}@{place}", password
