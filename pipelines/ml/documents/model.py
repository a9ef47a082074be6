"""To which of 20 newsgroups does this posting belong?

Data: 18,821 postings of 1993, subject and text as lower-case words; the later ones test.
Task: one of 20 classes, of much the same size.
Model: TF-IDF of words, with or without pairs of them, into a linear classifier, as ONNX: the
simplest candidate within one standard error of the best macro F1.
Limits: English of 1993, and 20 topics: a posting on anything else gets one of them too, often with
a low probability, sometimes with one above a half. Who is answered (`in article ... writes`) is cut
out as far as its shape tells it, since a regular writer would tell the group; signatures cannot be
told from text here and still do.
"""

import json
import re
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
from pydantic import Field

from slipway.contract import OnnxModel, Record, publish

SHOWN = 3
# 64 rows of 30,000 terms take 8 MB.
ROWS = 64


class Posting(Record):
    """Subject and text in one; case, digits and punctuation are not looked at."""

    text: str = Field(min_length=1, max_length=200_000)


class Guess(Record):
    newsgroup: str
    probability: float = Field(ge=0, le=1)


class Topic(Guess):
    """The likeliest newsgroup, and the three likeliest."""

    guesses: list[Guess]
    known_words: int = Field(ge=0, description="Different terms known; 0: the answer says nothing")


OTHER = re.compile(r"[^a-z]+")
# `in`, `is`, `no`, `us` and the like end addresses too, but are words.
DOMAINS = "com edu org gov net mil uk de nl fr ca au fi se dk ch il jp tw hk nz za".split()
CITATIONS = (
    # The address of who is answered is up to 20 words long, once its dots are gone.
    re.compile(r"\bin (?:article|message)(?: \w+){1,20}? (?:writes|wrote|says|said)\b"),
    # Of the fourth word before a domain 43 % are parts of addresses and names, of the fifth 25 %,
    # of farther ones the 17 % that it is anywhere: those are the subject.
    re.compile(rf"\b(?:\w+ ){{0,3}}\w+ (?:{'|'.join(DOMAINS)})(?: \w+){{0,5}} (?:writes|wrote)\b"),
    # A name without an address. `wrote` alone is told of books and programs as well.
    re.compile(r"\b(?:\w+ ){1,3}writes\b"),
)


def words(text: str, *, keep_citations: bool = False) -> list[str]:
    """Lower-case words, without who is answered."""
    plain = OTHER.sub(" ", text.lower())
    for citation in () if keep_citations else CITATIONS:
        plain = citation.sub("  ", plain)
    return plain.split()


def features(postings: list[Posting], vocabulary: dict[str, int]) -> dict[str, np.ndarray]:
    """1 + log of how often each word or pair stands in each posting, (rows, terms) float32."""
    terms = np.zeros((len(postings), len(vocabulary)), dtype=np.float32)
    for row, posting in enumerate(postings):
        single = words(posting.text)
        pairs = (f"{one} {other}" for one, other in pairwise(single))
        for term, count in Counter([*single, *pairs]).items():
            if (place := vocabulary.get(term)) is not None:
                terms[row, place] = 1 + np.log(count)
    return {"terms": terms}


def topics(probabilities: np.ndarray, known: np.ndarray, groups: list[str]) -> list[Topic]:
    """From probabilities (rows, groups) and how many terms were known (rows,)."""
    found = []
    for row, count in zip(probabilities.astype(np.float64), known.tolist(), strict=True):
        best = np.argsort(-row, kind="stable")[:SHOWN]
        guesses = [
            Guess(newsgroup=groups[place], probability=min(row[place], 1.0)) for place in best
        ]
        found.append(Topic(**guesses[0].model_dump(), guesses=guesses, known_words=count))
    return found


class Documents(OnnxModel):
    def load(self, weights: Path) -> None:
        super().load(weights)
        told = json.loads((weights / "terms.json").read_text())
        self._groups = told["groups"]
        self._vocabulary = {term: place for place, term in enumerate(told["terms"])}

    def predict(self, model_input: list[Posting]) -> list[Topic]:
        found = []
        for begin in range(0, len(model_input), ROWS):
            feeds = features(model_input[begin : begin + ROWS], self._vocabulary)
            known = np.count_nonzero(feeds["terms"], axis=1)
            found += topics(self.run(feeds)["probabilities"], known, self._groups)
        return found


publish(Documents())
