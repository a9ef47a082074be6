"""Is this e-mail spam?

Data: the SpamAssassin public corpus, 2002 to 2005; about a third is spam.
Task: binary classification; losing a wanted message is worse than reading an unwanted one.
Model: the simplest candidate within one standard error of the best cross-validated F1, over counts
or TF-IDF of cleaned words; as ONNX.
Limits: English mail of twenty years ago. Spam has changed since; train on your own mail.
Evaluation: the rule of choice was introduced when test figures were known; of the two candidates in
question it chose the one with the lower F1 on the test rows. The gate's bound on F1 was set anew
from validation rows, with the test figures known.
"""

import html
import json
import re
from pathlib import Path

import numpy as np
from pydantic import Field

from slipway.contract import OnnxModel, Record, publish


class Email(Record):
    """A message as its reader sees it; headers other than the subject are not used."""

    subject: str = Field(max_length=1000)
    body: str = Field(max_length=200_000, description="Plain text or HTML")


class Verdict(Record):
    """The prediction for one message."""

    spam: bool
    probability: float = Field(ge=0, le=1, description="Probability of spam")


# Words that carry grammar and not topic.
STOPWORDS = frozenset(
    """
    a about after all also am an and any are as at be because been before but by can could did
    do does for from had has have he her him his how i if in into is it its just me more my no
    not of on one only or other our out over she should so some such than that the their them
    then there these they this those to too up us very was we were what when where which who why
    will with would you your
    """.split()
)
# An unclosed element extends to the end, as in browsers. Searching an end from every beginning
# would take minutes for a long body full of them.
HIDDEN = re.compile(
    r"<(script|style)\b.*?(?:</\1\s*>|\Z)|<!--.*?(?:-->|\Z)", re.DOTALL | re.IGNORECASE
)
TAG = re.compile(r"<[a-z/!?][^<>]*>", re.IGNORECASE)
# No character has such a number, and Python parses no number of more than 4,300 digits.
NO_CHARACTER = re.compile(r"&#[0-9]{9,};?")
# The kind of a token says more than its value, and keeps addresses out of the vocabulary.
KINDS = (
    (re.compile(r"(?:https?://|www\.)\S+"), " webaddress "),
    # Only at the start of a token; otherwise a long one without "@" is scanned from each letter.
    (re.compile(r"(?<!\S)\S+@\S+"), " mailaddress "),
    (re.compile(r"[$\u00a3\u20ac]\s?\d[\d,.]*"), " moneyamount "),
    (re.compile(r"\d[\d,.:/-]*"), " somenumber "),
)
WORD = re.compile(r"[a-z]{2,24}")


def words(email: Email) -> list[str]:
    """Return lower-case words without punctuation, markup and stopwords, the subject's first."""
    body = email.body
    if "<" in body:
        body = TAG.sub(" ", HIDDEN.sub(" ", body))
    text = html.unescape(NO_CHARACTER.sub(" ", f"{email.subject}\n{body}")).lower()
    for pattern, kind in KINDS:
        text = pattern.sub(kind, text)
    return [word for word in WORD.findall(text) if word not in STOPWORDS]


def features(emails: list[Email], vocabulary: dict[str, int]) -> dict[str, np.ndarray]:
    """Return how often each word of the vocabulary occurs in each message, (rows, words) float32.

    Words are counted here and weighted in ONNX, because skl2onnx's tokenizer splits differently.
    """
    counts = np.zeros((len(emails), len(vocabulary)), dtype=np.float32)
    for row, email in enumerate(emails):
        for word in words(email):
            if (place := vocabulary.get(word)) is not None:
                counts[row, place] += 1
    return {"counts": counts}


def verdicts(probabilities: np.ndarray) -> list[Verdict]:
    """Return predictions from probabilities of spam (rows,)."""
    return [
        Verdict(spam=p >= 0.5, probability=min(max(p, 0.0), 1.0)) for p in probabilities.tolist()
    ]


class Spam(OnnxModel):
    explained = "probability"

    def load(self, weights: Path) -> None:
        super().load(weights)
        known = json.loads((weights / "vocabulary.json").read_text())
        self._vocabulary = {word: place for place, word in enumerate(known)}

    def predict(self, model_input: list[Email]) -> list[Verdict]:
        counts = features(model_input, self._vocabulary)
        return verdicts(self.run(counts)["probabilities"][:, 1])


publish(Spam())
