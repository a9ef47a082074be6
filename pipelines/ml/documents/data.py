"""Postings as words in the usual split by date, without repeated postings."""

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
    """Return postings by split, labelled with their newsgroups, in a random order.

    Repeated postings are left out, also from the test split if the training split has them.
    """
    seen: set[str] = set()
    by_name: dict[str, Iterable[tuple[Posting, str]]] = {}
    for name in ("train", "test"):
        # The header has two more lines with column types.
        raw = pd.read_csv(dataset.path(f"{name}.tab"), sep="\t", skiprows=[1, 2], quoting=3)
        frame = SCHEMA.validate(raw).sample(frac=1, random_state=1)
        kept = []
        for text, group in zip(frame["Text"], frame["Category"], strict=True):
            key = " ".join(words(text))
            if key not in seen:
                seen.add(key)
                kept.append((Posting(text=text), group))
        by_name[name] = kept
    return by_name
