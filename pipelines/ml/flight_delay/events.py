"""What Spark's tasks did, from the log of events that it writes as JSON lines."""

import json
from pathlib import Path

import pandas as pd


def tasks(folder: Path) -> pd.DataFrame:
    """A row a task: its job's description (`job`), `stage`, `seconds`, `read` rows and `written`
    bytes of a shuffle, and `spilled` bytes that went to disk for want of memory.

    The session must have ended: the last lines are written then.

    Raises:
        ValueError: the folder holds no log.
    """
    logs = [file for file in folder.iterdir() if file.is_file() and file.suffix != ".crc"]
    if not logs:
        raise ValueError(f"{folder}: no log of events; give session() this folder as `events`")
    jobs: dict[tuple[str, int], str] = {}
    found = []
    for log in sorted(logs):
        for line in log.read_text().splitlines():
            event = json.loads(line)
            if event["Event"] == "SparkListenerJobStart":
                job = event["Properties"].get("spark.job.description", "")
                jobs |= {(log.name, stage): job for stage in event["Stage IDs"]}
            elif event["Event"] == "SparkListenerTaskEnd" and "Task Metrics" in event:
                stage, metrics = event["Stage ID"], event["Task Metrics"]
                found.append(
                    {
                        "job": jobs[log.name, stage],
                        "stage": stage,
                        "seconds": metrics["Executor Run Time"] / 1000,
                        "read": metrics["Shuffle Read Metrics"]["Total Records Read"],
                        "written": metrics["Shuffle Write Metrics"]["Shuffle Bytes Written"],
                        "spilled": metrics["Disk Bytes Spilled"],
                    }
                )
    return pd.DataFrame(found)
