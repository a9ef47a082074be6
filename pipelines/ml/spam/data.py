"""Split the corpus's e-mails, keeping each campaign once and removing traces of their origin."""

import re
import tarfile
from collections.abc import Iterable, Iterator
from email import message_from_bytes
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from email.message import Message

import numpy as np
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import normalize

from slipway.datasets import Dataset

from .model import Email, words

MEMBER = re.compile(r"^package/data/(easy-ham|hard-ham|spam)-\d/.*\.txt$")
# Nearly all ham came through mailing lists, so a list's tag would reveal ham by its origin.
LIST_TAG = re.compile(r"\[[^\]\s]{2,30}\]\s*")
FOOTER = re.compile(r"^[_-]{20,}\s*$")
FOOTER_LINES = 12
# The beginning of feed entries read as mail, and the footer of Yahoo's lists.
FEED = re.compile(r"\A\s*URL:.*\n(?:Date:.*\n)?")
YAHOO = re.compile(
    r"^(?:-+ Yahoo! Groups Sponsor|To unsubscribe from this group, send ).*\Z",
    re.MULTILINE | re.DOTALL,
)
# The collector of the spam added this line: 163 messages end with it, all but one of them spam.
GATHERED = re.compile(r"^-*(?:DeathToSpam)+-*\s*$", re.MULTILINE)
# From this cosine of log word counts on, two messages are one campaign or one repeated newsletter.
# A different greeting, name or random code leaves it higher. No ham is this similar to a spam.
TWINS = 0.85


def splits(
    dataset: Dataset, *, seed: int, test_share: float
) -> dict[str, Iterable[tuple[Email, bool]]]:
    """Return e-mails, each with whether it is spam; no campaign occurs twice, in any split."""
    emails = list(corpus(dataset))
    kept = [emails[place] for place in distinct([words(email) for email, _ in emails])]
    labels = [spam for _, spam in kept]
    train, test = train_test_split(kept, test_size=test_share, random_state=seed, stratify=labels)
    return {"train": train, "test": test}


def distinct(texts: list[list[str]]) -> list[int]:
    """Return the positions of texts that have words and are not near-duplicates of earlier ones."""
    counts = CountVectorizer(analyzer=list, dtype=np.float32).fit_transform(texts)
    unit = normalize(
        counts.log1p()
    )  # with plain counts, any two tables of numbers would be similar
    kept = np.zeros(len(texts), dtype=bool)
    for start in range(0, len(texts), 500):  # one block of the similarity matrix at a time
        near = unit[start : start + 500] @ unit.T >= TWINS
        for place, row in enumerate(near, start):
            kept[place] = row.nnz > 0 and not kept[row.indices].any()
    return np.flatnonzero(kept).tolist()


def corpus(dataset: Dataset) -> Iterator[tuple[Email, bool]]:
    """Yield every message with whether it is spam, in the order of file names."""
    with tarfile.open(dataset.path("emails.tgz")) as archive:
        members = sorted(archive.getmembers(), key=lambda member: member.name)
        for member in members:
            match = MEMBER.match(member.name)
            stream = archive.extractfile(member) if match else None
            if match and stream:
                yield to_email(message_from_bytes(stream.read())), match[1] == "spam"


def to_email(message: Message) -> Email:
    body = "\n".join(remove_traces(text) for text in texts(message))
    subject = LIST_TAG.sub("", subject_of(message))
    return Email(subject=clean(subject)[:1000], body=clean(body)[:200_000])


def remove_traces(text: str) -> str:
    """Remove the header of feeds, the collector's line and the footer of mailing lists.

    The footer is Yahoo's, or at most 12 lines below a rule.
    """
    text = YAHOO.sub("", FEED.sub("", GATHERED.sub("", text)))
    lines = text.rstrip().split("\n")
    for place in range(max(0, len(lines) - FOOTER_LINES), len(lines)):
        if FOOTER.match(lines[place]):
            return "\n".join(lines[:place])
    return text


def subject_of(message: Message) -> str:
    raw = str(message.get("Subject", ""))
    try:
        return str(make_header(decode_header(raw)))
    except (HeaderParseError, LookupError, UnicodeError, ValueError):
        return raw  # an unknown charset: the words around it still count


def texts(message: Message) -> Iterator[str]:
    """Yield the text parts, decoded as far as their charset allows."""
    for part in message.walk():
        if part.get_content_maintype() != "text":
            continue
        payload = part.get_payload(decode=True)
        if not isinstance(payload, bytes):
            continue
        try:
            yield payload.decode(part.get_content_charset() or "latin-1", errors="replace")
        except LookupError:
            yield payload.decode("latin-1")


def clean(text: str) -> str:
    """Replace lone surrogates, which JSON cannot represent."""
    return text.encode("utf-8", errors="replace").decode("utf-8")
