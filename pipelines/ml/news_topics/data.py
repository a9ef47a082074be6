"""Split the newswire's stories by date (ModApte), without duplicates."""

from collections.abc import Iterable

import numpy as np
import pandas as pd
import pandera.pandas as pa

from slipway.datasets import Dataset

from .model import TOPICS, Story, words

SCHEMA = pa.DataFrameSchema(
    {
        "newid": pa.Column(int, unique=True),
        "lewissplit": pa.Column(str, pa.Check.isin(["TRAIN", "TEST", "NOT-USED"])),
        "has_topics": pa.Column(str, pa.Check.isin(["YES", "NO", "BYPASS"])),
    }
)


def splits(dataset: Dataset) -> dict[str, Iterable[tuple[Story, list[str]]]]:
    """Return stories in the wire's order, each with its topics among `TOPICS`, often none.

    The training rows end on 7 April 1987, where the test rows begin (ModApte). Repeated stories are
    left out, and so are test stories that training contains.
    """
    raw = pd.read_json(
        dataset.path("reuters21578.jsonl.xz"), lines=True, compression="xz", convert_dates=False
    )
    frame = SCHEMA.validate(raw).sort_values("newid")
    seen: set[str] = {""}
    found: dict[str, Iterable[tuple[Story, list[str]]]] = {}
    for name in ("train", "test"):
        chosen = frame[(frame["lewissplit"] == name.upper()) & (frame["has_topics"] == "YES")]
        kept = []
        for title, body, topics in chosen[["title", "body", "topics"]].itertuples(index=False):
            text = f"{title or ''}\n{body or ''}"
            key = " ".join(words(text))
            if key not in seen:
                seen.add(key)
                kept.append((Story(text=text), [each for each in TOPICS if each in topics]))
        found[name] = kept
    return found


def genes(dataset: Dataset, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Return yeast genes to compare methods on: numbers (rows, 103) and labels (rows, 14) bool."""
    frame = pd.read_csv(dataset.path("yeast.csv.gz"), nrows=rows)
    labels = [name for name in frame if str(name).startswith("Class")]
    return frame.drop(columns=labels).to_numpy(), frame[labels].to_numpy() == 1
