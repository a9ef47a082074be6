"""Evidently's HTML reports: rendering, and compressed storage of each project's newest."""

import calendar
import gzip
import os
import re
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from services.monitor.effects import CATEGORY, NUMBER
from services.monitor.layout import Layout
from slipway import home

if TYPE_CHECKING:
    import pandas as pd

ID = re.compile(r"[0-9]{8}T[0-9]{6}-[a-z]{4,5}")
# Compressed, since each report includes Evidently's viewer, 4 MB of script.
SUFFIX = ".html.gz"


class Reports:
    """The newest `keep` reports of each project in a folder."""

    def __init__(self, folder: Path, *, keep: int) -> None:
        self.folder, self.keep = folder, keep

    def write(self, project: str, window: str, html: str, *, now: float) -> str:
        """Store a report, delete the oldest beyond the limit, and return the report's id.

        Raises:
            OSError: the disk is full, dead or read-only.
        """
        folder = self.folder / project
        folder.mkdir(parents=True, exist_ok=True)
        id = f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime(now))}-{window}"
        new = folder / f".{id}.{os.getpid()}"
        new.write_bytes(gzip.compress(html.encode(), compresslevel=6, mtime=0))
        new.replace(folder / (id + SUFFIX))
        for old in self.ids(project)[self.keep :]:
            (folder / (old + SUFFIX)).unlink(missing_ok=True)
        return id

    def ids(self, project: str) -> list[str]:
        """Return the ids of a project's reports, newest first."""
        found = (self.folder / project).glob(f"*{SUFFIX}")
        names = [file.name.removesuffix(SUFFIX) for file in found]
        return sorted((name for name in names if ID.fullmatch(name)), reverse=True)

    def newest(self, project: str) -> float:
        """Return the Unix time of the newest report; 0 without one."""
        ids = self.ids(project)
        return calendar.timegm(time.strptime(ids[0][:15], "%Y%m%dT%H%M%S")) if ids else 0.0

    def read(self, project: str, id: str) -> bytes:
        """Return the HTML of a report, compressed by gzip.

        Raises:
            FileNotFoundError: there is none, or it was deleted.
        """
        if not ID.fullmatch(id):
            raise FileNotFoundError(id)
        return (self.folder / project / (id + SUFFIX)).read_bytes()


def render(
    reference: "pd.DataFrame",
    window: "pd.DataFrame",
    layout: Layout,
    *,
    drifted: Sequence[str],
    numbers: float,
    categories: float,
) -> str:
    """Return Evidently's page of drift and distributions, the drifted columns first.

    Its own verdict uses the effect alone; the monitor's also uses significance.
    """
    home.silence_telemetry()
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset, DataSummaryPreset

    columns = [
        column
        for column in sorted(layout.numeric, key=lambda column: column not in set(drifted))
        if reference[column].notna().any() and window[column].notna().any()
    ]
    definition = DataDefinition(
        numerical_columns=[column for column in columns if layout.numeric[column]],
        categorical_columns=[column for column in columns if not layout.numeric[column]],
        text_columns=[],
        datetime_columns=[],
        unknown_columns=[],
        list_columns=[],
    )
    report = Report(
        [
            DataDriftPreset(
                columns=columns,
                # One drifted column is enough for the page's headline, as it is for the alarm.
                drift_share=1 / max(1, len(columns)),
                num_method=NUMBER,
                num_threshold=numbers,
                cat_method=CATEGORY,
                cat_threshold=categories,
            ),
            DataSummaryPreset(columns=columns),
        ]
    )
    with warnings.catch_warnings():
        # Evidently's correlations divide by the standard deviation, 0 for a constant column.
        warnings.simplefilter("ignore", RuntimeWarning)
        snapshot: Any = report.run(
            Dataset.from_pandas(window[columns], data_definition=definition),
            Dataset.from_pandas(reference[columns], data_definition=definition),
        )
    return str(snapshot.get_html_str(as_iframe=False))
