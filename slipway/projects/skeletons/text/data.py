"""Reports in the data set's own split."""

import csv
from pathlib import Path

import pandas as pd
import pandera.pandas as pa

from slipway.datasets import Dataset
from slipway.kits.readers.table import labelled_rows

from .model import LABELS, Report

SCHEMA = pa.DataFrameSchema(
    {"class": pa.Column(str, pa.Check.isin(list(LABELS))), "text": pa.Column(str)}
)


def splits(dataset: Dataset) -> dict[str, list[tuple[Report, str]]]:
    """Return reports, with their topics as labels."""
    return {name: reports(dataset.path(f"reuters-r8-{name}.tab")) for name in ("train", "test")}


def reports(file: Path) -> list[tuple[Report, str]]:
    """Read a table of Orange: three lines of head, then topic and text."""
    raw = pd.read_csv(file, sep="\t", skiprows=3, names=["class", "text"], quoting=csv.QUOTE_NONE)
    frame = SCHEMA.validate(raw.dropna())
    return labelled_rows(frame, Report, {"text": "text"}, frame["class"].tolist())
