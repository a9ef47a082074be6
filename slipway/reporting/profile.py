"""A profile of the training data: an HTML page with a section per column."""

import os
import warnings
from pathlib import Path
from typing import Any

from slipway.training.labelled_rows import TRUTH, LabelledRows


def write_profile(train: LabelledRows[Any, Any], title: str, file: Path) -> None:
    """Write the profile of the training rows as one HTML file."""
    import pandas as pd

    # Otherwise the library sends the shape of the data and the machine to its maker's server.
    os.environ["YDATA_PROFILING_NO_ANALYTICS"] = "1"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from data_profiling import ProfileReport

        frame = pd.DataFrame([record.model_dump() for record in train.records])
        frame[TRUTH] = train.labels
        report = ProfileReport(frame, title=title, minimal=True, progress_bar=False)
        report.to_file(file, silent=True)
