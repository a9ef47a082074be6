"""Postings as words, split by date as everyone splits them; none stands twice."""

from collections.abc import Iterable

import pandas as pd
import pandera.pandas as pa

from slipway.datasets import Dataset

from .model import Posting, words

SCHEMA = pa.DataFrameSchema(
    {
        "Category": pa.Column(str, pa.Check(lambda names: names.nunique() == 20)),
        "Text": pa.Column(str, pa.Check.str_matches("^[a-z ]+$")),
    }
)


def splits(dataset: Dataset) -> dict[str, Iterable[tuple[Posting, str]]]:
    """Postings with their newsgroups, in an order that mixes the groups.

    What was posted again is left out, from the test rows too if training has it.
    """
    seen: set[str] = set()
    found: dict[str, Iterable[tuple[Posting, str]]] = {}
    for name in ("train", "test"):
        # Two more lines of the header tell kinds of columns.
        raw = pd.read_csv(dataset.path(f"{name}.tab"), sep="\t", skiprows=[1, 2], quoting=3)
        frame = SCHEMA.validate(raw).sample(frac=1, random_state=1)
        kept = []
        for text, group in zip(frame["Text"], frame["Category"], strict=True):
            key = " ".join(words(text))
            if key not in seen:
                seen.add(key)
                kept.append((Posting(text=text), group))
        found[name] = kept
    return found
