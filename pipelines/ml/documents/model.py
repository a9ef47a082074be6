"""To which of 20 newsgroups does this posting belong?

Data: 18,821 postings of 1993, subject and text as lower-case words; the later ones are for the
test.
Task: classification into 20 classes of similar size.
Model: TF-IDF of words, with or without word pairs, and a linear classifier, as ONNX: the simplest
candidate within one standard error of the best macro F1.
Limits: English of 1993, and 20 topics. A posting on another topic is assigned to one of them too,
often with a low probability, sometimes with one above a half. Citations (`in article ... writes`)
are removed as far as patterns find them, since the name of a regular writer reveals the group.
Signatures cannot be separated from the text here and still reveal it.
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
    """The subject and text of a posting; case, digits and punctuation are ignored."""

    text: str = Field(min_length=1, max_length=200_000)


class Guess(Record):
    """A newsgroup and its probability."""

    newsgroup: str
    probability: float = Field(ge=0, le=1)


class Topic(Guess):
    """The most probable newsgroup, and the three most probable."""

    guesses: list[Guess]
    known_words: int = Field(
        ge=0, description="Number of different known terms; with 0 the prediction is meaningless"
    )


OTHER = re.compile(r"[^a-z]+")
# `in`, `is`, `no` and `us` can end addresses too, but are common words.
DOMAINS = "com edu org gov net mil uk de nl fr ca au fi se dk ch il jp tw hk nz za".split()
CITATIONS = (
    # The cited writer's address is up to 20 words long without its dots.
    re.compile(r"\bin (?:article|message)(?: \w+){1,20}? (?:writes|wrote|says|said)\b"),
    # 43 % of the fourth words before a domain are parts of addresses and names, and 25 % of the
    # fifth. Farther words have the same 17 % as anywhere: they are the subject.
    re.compile(rf"\b(?:\w+ ){{0,3}}\w+ (?:{'|'.join(DOMAINS)})(?: \w+){{0,5}} (?:writes|wrote)\b"),
    # A name without an address. `wrote` alone is used for books and programs as well.
    re.compile(r"\b(?:\w+ ){1,3}writes\b"),
)


def words(text: str, *, keep_citations: bool = False) -> list[str]:
    """Return the lower-case words of a text, without citations unless `keep_citations`."""
    plain = OTHER.sub(" ", text.lower())
    for citation in () if keep_citations else CITATIONS:
        plain = citation.sub("  ", plain)
    return plain.split()


def features(postings: list[Posting], vocabulary: dict[str, int]) -> dict[str, np.ndarray]:
    """Return 1 + log of the count of each word or pair in each posting, (rows, terms) float32."""
    terms = np.zeros((len(postings), len(vocabulary)), dtype=np.float32)
    for row, posting in enumerate(postings):
        single = words(posting.text)
        pairs = (f"{one} {other}" for one, other in pairwise(single))
        for term, count in Counter([*single, *pairs]).items():
            if (place := vocabulary.get(term)) is not None:
                terms[row, place] = 1 + np.log(count)
    return {"terms": terms}


def topics(probabilities: np.ndarray, known: np.ndarray, groups: list[str]) -> list[Topic]:
    """Return predictions, given probabilities (rows, groups) and counts of known terms (rows,)."""
    predictions = []
    for row, count in zip(probabilities.astype(np.float64), known.tolist(), strict=True):
        best = np.argsort(-row, kind="stable")[:SHOWN]
        guesses = [
            Guess(newsgroup=groups[place], probability=min(row[place], 1.0)) for place in best
        ]
        predictions.append(Topic(**guesses[0].model_dump(), guesses=guesses, known_words=count))
    return predictions


class Documents(OnnxModel):
    def load(self, weights: Path) -> None:
        super().load(weights)
        content = json.loads((weights / "terms.json").read_text())
        self._groups = content["groups"]
        self._vocabulary = {term: place for place, term in enumerate(content["terms"])}

    def predict(self, model_input: list[Posting]) -> list[Topic]:
        predictions = []
        for begin in range(0, len(model_input), ROWS):
            feeds = features(model_input[begin : begin + ROWS], self._vocabulary)
            known = np.count_nonzero(feeds["terms"], axis=1)
            predictions += topics(self.run(feeds)["probabilities"], known, self._groups)
        return predictions


publish(Documents())
