"""The content of a backup of the stack, and its layout.

    slipway-backup.json    the format's version, and when the backup was made
    database.dump          MLflow's database, in pg_dump's own format
    volumes/<name>/...     files of the volumes below

Left out: features, which `materialize` writes again; passwords, which `prepare` generates anew;
Prometheus' time series, Alertmanager's silences and Grafana's database, on which nothing depends;
the model servers' own caches, which they fetch again.
"""

from pathlib import Path

FORM = 1
ABOUT, DATABASE, VOLUMES = "slipway-backup.json", "database.dump", "volumes"
HERE = Path("/volumes")
# Callers' keys; registered models; prediction records and labels; promotions and runs; references
# and reports. All files belong to the one user that our services run as.
NAMES = ("keyring", "mlflow", "predictions", "training", "monitor")
# Created again by whatever finds them missing; data sets can be gigabytes.
LEFT_OUT = frozenset({"training/cache", "training/repository", "training/features"})
# SQLite copies its own files: a plain copy of a database in use may be inconsistent.
SQLITE = b"SQLite format 3\0"
SQLITE_OWN = ("-wal", "-shm", "-journal")


def password_free(uri: str) -> tuple[str, str]:
    """Split a database URI into one without password, and the password: `ps` shows arguments."""
    head, _, rest = uri.partition("://")
    user, _, place = rest.rpartition("@")
    name, _, password = user.partition(":")
    return f"{head}://{name}@{place}", password
