"""Subject and text of the corpus's e-mails, each campaign once, without marks of its origin."""

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
# All but a few ham messages came over mailing lists; a list's mark would tell ham by its origin.
LIST_TAG = re.compile(r"\[[^\]\s]{2,30}\]\s*")
FOOTER = re.compile(r"^[_-]{20,}\s*$")
FOOTER_LINES = 12
# What feeds read as mail begin with, and what Yahoo's lists end with.
FEED = re.compile(r"\A\s*URL:.*\n(?:Date:.*\n)?")
YAHOO = re.compile(
    r"^(?:-+ Yahoo! Groups Sponsor|To unsubscribe from this group, send ).*\Z",
    re.MULTILINE | re.DOTALL,
)
# With this line 163 messages end, all but one of them spam: whoever gathered them drew it.
GATHERED = re.compile(r"^-*(?:DeathToSpam)+-*\s*$", re.MULTILINE)
# The cosine of log word counts from which two messages are one campaign, or one newsletter sent
# again: another greeting, name or random code leaves it higher. No ham is as near to a spam.
TWINS = 0.85


def splits(
    dataset: Dataset, *, seed: int, test_share: float
) -> dict[str, Iterable[tuple[Email, bool]]]:
    """E-mails with whether they are spam; no campaign stands in both parts, or twice in one."""
    found = list(corpus(dataset))
    kept = [found[place] for place in distinct([words(email) for email, _ in found])]
    truths = [spam for _, spam in kept]
    train, test = train_test_split(kept, test_size=test_share, random_state=seed, stratify=truths)
    return {"train": train, "test": test}


def distinct(texts: list[list[str]]) -> list[int]:
    """The places of texts with words that are no twin of a text kept before them."""
    counts = CountVectorizer(analyzer=list, dtype=np.float32).fit_transform(texts)
    unit = normalize(counts.log1p())  # of plain counts, any two tables of numbers are near
    kept = np.zeros(len(texts), dtype=bool)
    for start in range(0, len(texts), 500):  # a block of all against all at a time
        near = unit[start : start + 500] @ unit.T >= TWINS
        for place, row in enumerate(near, start):
            kept[place] = row.nnz > 0 and not kept[row.indices].any()
    return np.flatnonzero(kept).tolist()


def corpus(dataset: Dataset) -> Iterator[tuple[Email, bool]]:
    """Every message, by the order of its name."""
    with tarfile.open(dataset.path("emails.tgz")) as archive:
        members = sorted(archive.getmembers(), key=lambda member: member.name)
        for member in members:
            match = MEMBER.match(member.name)
            stream = archive.extractfile(member) if match else None
            if match and stream:
                yield email_of(message_from_bytes(stream.read())), match[1] == "spam"


def email_of(message: Message) -> Email:
    body = "\n".join(without_marks(text) for text in texts(message))
    subject = LIST_TAG.sub("", subject_of(message))
    return Email(subject=clean(subject)[:1000], body=clean(body)[:200_000])


def without_marks(text: str) -> str:
    """Without a feed's head and a gatherer's line, and up to where lists sign what they forward.

    That is Yahoo's footer, or a ruled-off end of at most 12 lines.
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
        return raw  # a charset that nobody knows: the words around it still count


def texts(message: Message) -> Iterator[str]:
    """The text parts, decoded as well as their charset allows."""
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
    """Without lone surrogates, which are no text in JSON."""
    return text.encode("utf-8", errors="replace").decode("utf-8")
