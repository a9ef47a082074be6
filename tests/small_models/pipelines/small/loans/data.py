"""Applications in the order of the file; every `every`-th one is a test row."""

import csv
from collections.abc import Iterable

from slipway.datasets import Dataset

from .model import Applicant

Rows = Iterable[tuple[Applicant, bool]]


def splits(dataset: Dataset, *, every: int) -> dict[str, Rows]:
    """Split the applicants, labelled with whether the loan was granted."""
    with dataset.path("loans.csv").open() as stream:
        rows = [
            (
                Applicant(
                    purpose=line["purpose"],
                    region=line["region"],
                    income=float(line["income"]),
                    debt=float(line["debt"]),
                    age=int(line["age"]) if line["age"] else None,
                ),
                line["granted"] == "1",
            )
            for line in csv.DictReader(stream)
        ]
    train = [row for place, row in enumerate(rows) if place % every]
    return {"train": train, "test": rows[::every]}
