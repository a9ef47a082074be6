"""A profile of the training data: a page with a section for every column."""

import os
import warnings
from pathlib import Path
from typing import Any

from slipway.training.examples import TRUTH, Examples


def write_profile(train: Examples[Any, Any], title: str, file: Path) -> None:
    """Write pandas profiling's report as one HTML file."""
    import pandas as pd

    # Without it the library tells its maker's server the shape of the data and the machine.
    os.environ["YDATA_PROFILING_NO_ANALYTICS"] = "1"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from data_profiling import ProfileReport

        frame = pd.DataFrame([record.model_dump() for record in train.records])
        frame[TRUTH] = train.truths
        report = ProfileReport(frame, title=title, minimal=True, progress_bar=False)
        report.to_file(file, silent=True)
