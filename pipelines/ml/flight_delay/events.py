"""Metrics of Spark's tasks, from its event log of JSON lines."""

import json
from pathlib import Path

import pandas as pd


def tasks(folder: Path) -> pd.DataFrame:
    """Return a row per task.

    The columns are the job's description (`job`), `stage`, `seconds`, rows `read` and bytes
    `written` in a shuffle, and bytes `spilled` to disk when memory was short. The session must have
    ended, since Spark writes the last lines then.

    Raises:
        ValueError: the folder has no log.
    """
    logs = [file for file in folder.iterdir() if file.is_file() and file.suffix != ".crc"]
    if not logs:
        raise ValueError(f"{folder}: no event log; pass this folder to session() as `events`")
    jobs: dict[tuple[str, int], str] = {}
    rows = []
    for log in sorted(logs):
        for line in log.read_text().splitlines():
            event = json.loads(line)
            if event["Event"] == "SparkListenerJobStart":
                job = event["Properties"].get("spark.job.description", "")
                jobs |= {(log.name, stage): job for stage in event["Stage IDs"]}
            elif event["Event"] == "SparkListenerTaskEnd" and "Task Metrics" in event:
                stage, metrics = event["Stage ID"], event["Task Metrics"]
                rows.append(
                    {
                        "job": jobs[log.name, stage],
                        "stage": stage,
                        "seconds": metrics["Executor Run Time"] / 1000,
                        "read": metrics["Shuffle Read Metrics"]["Total Records Read"],
                        "written": metrics["Shuffle Write Metrics"]["Shuffle Bytes Written"],
                        "spilled": metrics["Disk Bytes Spilled"],
                    }
                )
    return pd.DataFrame(rows)
