"""Evidently's HTML reports, kept compressed, the newest of each project."""

import calendar
import gzip
import os
import re
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slipway import home
from slipway.monitoring.effects import CATEGORY, NUMBER
from slipway.monitoring.layout import Layout

if TYPE_CHECKING:
    import pandas as pd

ID = re.compile(r"[0-9]{8}T[0-9]{6}-[a-z]{4,5}")
# Evidently's page carries its viewer, 4 MB of script, in each report.
SUFFIX = ".html.gz"


class Reports:
    def __init__(self, folder: Path, *, keep: int) -> None:
        self.folder, self.keep = folder, keep

    def write(self, project: str, window: str, html: str, *, now: float) -> str:
        """Keep a report, and delete the oldest beyond the limit; its id.

        Raises:
            OSError: the disk is full, dead or refuses.
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
        """The newest first."""
        found = (self.folder / project).glob(f"*{SUFFIX}")
        names = [file.name.removesuffix(SUFFIX) for file in found]
        return sorted((name for name in names if ID.fullmatch(name)), reverse=True)

    def newest(self, project: str) -> float:
        """Unix time of the newest; 0 without one."""
        ids = self.ids(project)
        return calendar.timegm(time.strptime(ids[0][:15], "%Y%m%dT%H%M%S")) if ids else 0.0

    def read(self, project: str, id: str) -> bytes:
        """The HTML, compressed by gzip.

        Raises:
            FileNotFoundError: there is none, or none any more.
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
    """Evidently's page: how many columns drifted, and each column's distributions, the drifted
    ones first.

    Its own verdict goes by the effect alone; ours also by significance.
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
                # One column is enough for its headline, as it is for our alarm.
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
        # Its correlations divide by the spread, which is 0 for a constant column.
        warnings.simplefilter("ignore", RuntimeWarning)
        told: Any = report.run(
            Dataset.from_pandas(window[columns], data_definition=definition),
            Dataset.from_pandas(reference[columns], data_definition=definition),
        )
    return str(told.get_html_str(as_iframe=False))
