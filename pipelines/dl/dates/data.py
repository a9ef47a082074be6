"""Written dates, generated, and texts without a date; no date and no text is in two splits."""

import re
import tarfile
from datetime import date, timedelta

import numpy as np

from slipway.datasets import Dataset

from .model import WrittenDate
from .symbols import LONGEST
from .written import (
    FIRST_YEAR,
    LAST_YEAR,
    MONTH_ONLY,
    Parts,
    day_format,
    impossible_day,
    other_numbers,
    write,
)

Row = tuple[WrittenDate, str]
# Of the texts without a date: from articles, dates that do not exist, and other numbers.
ARTICLES, IMPOSSIBLE = 0.4, 0.4
YEAR = re.compile(r"\d\d\d")


def splits(
    dataset: Dataset, *, seed: int, days: int, test_days: int, other: int, test_other: int
) -> dict[str, list[Row]]:
    """Return texts with their dates; every day and month is written once, in one of the formats.

    `days` and `test_days` are drawn without repetition, so no day is in two splits; nor is a month
    without a day. `other` texts name no date: their label is empty.
    """
    generator = np.random.default_rng(seed)
    first = date(FIRST_YEAR, 1, 1)
    count = (date(LAST_YEAR, 12, 31) - first).days + 1
    drawn = [first + timedelta(int(place)) for place in generator.permutation(count)]
    months = generator.permutation(12 * (LAST_YEAR - FIRST_YEAR + 1)).tolist()
    test_months = round(len(months) * test_days / (days + test_days))
    parts = {
        "train": (drawn[test_days : test_days + days], months[test_months:], "valid.txt", other),
        "test": (drawn[:test_days], months[:test_months], "test.txt", test_other),
    }
    found = {}
    taken: set[str] = set()
    for name, (chosen, chosen_months, file, others) in parts.items():
        rows = [written_day(day, generator) for day in chosen]
        rows += [written_month(month, generator) for month in chosen_months]
        rows += [(each, "") for each in without_date(read(dataset, file), others, generator)]
        order = generator.permutation(len(rows))
        # Short texts repeat, such as 12:30.
        kept = {rows[place][0]: rows[place][1] for place in order if rows[place][0] not in taken}
        taken.update(kept)
        found[name] = [(WrittenDate(text=text), label) for text, label in kept.items()]
    return found


def written_day(day: date, generator: np.random.Generator) -> tuple[str, str]:
    """Return a text that names the day, with its ISO date."""
    kind = day_format(day.year, generator)
    return write(Parts(day.year, day.month, day.day), kind, generator), day.isoformat()


def written_month(number: int, generator: np.random.Generator) -> tuple[str, str]:
    """Return a text that names the month of this number since 1900, with its ISO date."""
    year, month = FIRST_YEAR + number // 12, number % 12 + 1
    text = write(Parts(year, month, 1), MONTH_ONLY, generator)
    return text, f"{year}-{month:02}"


def without_date(article: str, count: int, generator: np.random.Generator) -> list[str]:
    """Return texts that name no date: parts of an article, impossible dates, other numbers."""
    words = article.split()
    texts: list[str] = []
    while len(texts) < count:
        kind = generator.random()
        if kind < ARTICLES:
            start = int(generator.integers(len(words) - 12))
            text = " ".join(words[start : start + int(generator.integers(1, 9))])[:LONGEST]
            if YEAR.search(text):  # it may name a year or a date
                continue
        elif kind < ARTICLES + IMPOSSIBLE:
            text = impossible_day(generator)
        else:
            text = other_numbers(generator)
        texts.append(text)
    return texts


def read(dataset: Dataset, file: str) -> str:
    """Return one text of WikiText-2."""
    with tarfile.open(dataset.path("wikitext2_valid_test.tar.xz")) as archive:
        stream = archive.extractfile(file)
        if stream is None:
            raise ValueError(f"{file} in the archive is not a file")
        return stream.read().decode()
