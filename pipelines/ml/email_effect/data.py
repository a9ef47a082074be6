"""Customers assigned at random to an e-mail or none, and workers with and without a job course.

The random assignment of customers makes their effect causal. For the workers the effect is known
from an experiment; it is estimated again with men of a survey instead of the control group.
"""

from collections.abc import Iterable
from typing import Any

import pandas as pd
import pandera.pandas as pa
from pydantic import create_model
from sklearn.model_selection import train_test_split

from slipway.contract import Record
from slipway.datasets import Dataset, fetch

from .model import Customer

ARMS = {"No E-Mail": False, "Womens E-Mail": True}
CUSTOMERS = pa.DataFrameSchema(
    {
        "segment": pa.Column(str, pa.Check.isin([*ARMS, "Mens E-Mail"])),
        "visit": pa.Column(int, pa.Check.isin([0, 1])),
        "spend": pa.Column(float, pa.Check.ge(0)),
    },
    # There is no purchase without a visit.
    checks=pa.Check(lambda frame: (frame["spend"] == 0) | (frame["visit"] == 1)),
)
# Columns known before the course of 1976; earnings are in dollars per year.
BEFORE = {
    "age": "age",
    "educ": "schooling",
    "black": "black",
    "hisp": "hispanic",
    "marr": "married",
    "nodegree": "no_degree",
    "re74": "earnings_1974",
    "re75": "earnings_1975",
}
WORKERS = pa.DataFrameSchema(
    {name: pa.Column(float, pa.Check.ge(0), coerce=True) for name in (*BEFORE, "treat", "re78")}
)
FIELDS: dict[str, Any] = dict.fromkeys(BEFORE.values(), (float, ...))
Worker = create_model("Worker", __base__=Record, **FIELDS)
Rows = Iterable[tuple[Record, dict[str, Any]]]


def splits(dataset: Dataset, *, seed: int, test_share: float) -> dict[str, Rows]:
    """Return customers by split, labelled with their arm, whether they visited and what they spent.

    The split `workers` is labelled with earnings of 1978 and a group: `course` were assigned to the
    course, `drawn` are the experiment's control group, `survey` were not part of the experiment.
    """
    frame = CUSTOMERS.validate(pd.read_csv(dataset.path("hillstrom_email.csv.gz")))
    # The men's e-mail is in the project uplift; this project has a single treatment.
    frame = frame[frame["segment"].isin(list(ARMS))]
    train, test = train_test_split(
        frame, test_size=test_share, random_state=seed, stratify=frame[["segment", "visit"]]
    )
    return {"train": customers(train), "test": customers(test), "workers": workers(seed)}


def customers(frame: pd.DataFrame) -> Rows:
    """Yield the rows of the raw table as labelled records."""
    known = frame.assign(
        area=frame["zip_code"].str.lower().replace("surburban", "suburban"),
        channel=frame["channel"].str.lower(),
        newcomer=frame["newbie"],
    )
    for row in known.to_dict("records"):
        sent = {name: row[name] for name in Customer.model_fields if name in row}
        label = {"mailed": ARMS[row["segment"]], "visited": row["visit"], "spent": row["spend"]}
        yield Customer.model_validate(sent), label


def workers(seed: int) -> Rows:
    """Yield labelled workers, those of the experiment first."""
    dataset = fetch("nsw_training")
    nsw, cps = (pd.read_stata(dataset.path(f"{name}_mixtape.dta")) for name in ("nsw", "cps"))
    nsw["group"], cps["group"] = nsw["treat"].map({1: "course", 0: "drawn"}), "survey"
    for part in (nsw, cps):
        for row in WORKERS.validate(part).sample(frac=1, random_state=seed).to_dict("records"):
            before = {name: row[column] for column, name in BEFORE.items()}
            yield Worker(**before), {"group": row["group"], "earnings": row["re78"]}
