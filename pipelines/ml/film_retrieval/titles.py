"""The number of a film by its title, as people write it."""

import re
from collections.abc import Sequence
from typing import Any

ARTICLES = ("the", "a", "an", "les", "le", "la", "l", "il", "das", "der", "die", "el")
YEAR = re.compile(r"\s*\((\d{4})\)\s*$")
# MovieLens appends the original title of a foreign film, also in brackets.
BRACKETS = re.compile(r"\s*\([^)]*\)")
QUOTES = str.maketrans("", "", "'\u2019")


class Titles:
    """Finds films by title, with or without the year, with the article before or after it."""

    def __init__(self, films: Sequence[dict[str, Any]], often: Sequence[float]) -> None:
        """Take each film's `title` and `year`; `often` decides between films of one title."""
        self._places: dict[tuple[str, int | None], int] = {}
        for place in sorted(range(len(films)), key=lambda each: -often[each]):
            film = films[place]
            for title in dict.fromkeys((film["title"], BRACKETS.sub("", film["title"]))):
                for year in (None, film["year"]):
                    self._places.setdefault((plain(title), year), place)

    def find(self, text: str) -> int | None:
        """Return the index of the film with this title; None if there is none."""
        year = YEAR.search(text)
        # One title in the data ends with a year of its own.
        whole = self._places.get((plain(text), None))
        if year is None:
            return whole
        return self._places.get((plain(text[: year.start()]), int(year[1])), whole)


def plain(title: str) -> str:
    """Return a title in small letters without punctuation and without its article.

    `Princess Bride, The` and `the princess bride` are equal then.
    """
    words = re.findall(r"\w+", title.casefold().replace("&", " and ").translate(QUOTES))
    if len(words) > 1 and words[-1] in ARTICLES and "," in title:
        words.pop()
    if len(words) > 1 and words[0] in ARTICLES:
        words.pop(0)
    return " ".join(words)
