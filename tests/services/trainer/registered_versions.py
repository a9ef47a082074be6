"""The registered versions of a project, from the tables of MLflow's registry."""

import sqlite3
from pathlib import Path
from typing import Any


def registered_versions(own_home: Path, project: str) -> list[dict[str, Any]]:
    """Return each version of the project with its tags and the parameters of its run."""
    with sqlite3.connect(own_home / "mlflow.db") as database:
        rows = database.execute(
            "SELECT version, run_id FROM model_versions WHERE name = ? ORDER BY version", (project,)
        ).fetchall()
        found = []
        for version, run in rows:
            tags = dict(
                database.execute(
                    "SELECT key, value FROM model_version_tags WHERE name = ? AND version = ?",
                    (project, version),
                ).fetchall()
            )
            params = dict(
                database.execute("SELECT key, value FROM params WHERE run_uuid = ?", (run,))
            )
            found.append({"version": str(version), "run": run, "tags": tags, "params": params})
    return found
