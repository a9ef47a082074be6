"""Subject and text of the corpus's e-mails, each campaign once, without marks of its origin."""

import re
import tarfile
from collections.abc import Iterable, Iterator
from email import message_from_bytes
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from email.message import Message

from sklearn.model_selection import train_test_split

from slipway.datasets import Dataset

from .model import Email, words

MEMBER = re.compile(r"^package/data/(easy-ham|hard-ham|spam)-\d/.*\.txt$")
# All but a few ham messages came over mailing lists; a list's mark would tell ham by its origin.
LIST_TAG = re.compile(r"\[[^\]\s]{2,30}\]\s*")
FOOTER = re.compile(r"^[_-]{20,}\s*$")
FOOTER_LINES = 12
# Messages that begin with the same words are one campaign or one newsletter sent again.
CAMPAIGN_WORDS = 30

# Invented: the corpus holds real people's messages, which the documentation must not show.
EXAMPLES = [
    Email(
        subject="Congratulations, you have been selected",
        body="Claim your FREE prize of $5,000 now! Click http://prize.example/claim before "
        "midnight. No obligation, this is a limited time offer.",
    ),
    Email(
        subject="Re: build fails on the new server",
        body="I could reproduce it: the test needs a newer compiler. I will send a patch tonight.",
    ),
]


def splits(
    dataset: Dataset, *, seed: int, test_share: float
) -> dict[str, Iterable[tuple[Email, bool]]]:
    """E-mails with whether they are spam; no campaign stands in both parts."""
    seen: set[str] = set()
    kept = []
    for email, spam in corpus(dataset):
        campaign = " ".join(words(email)[:CAMPAIGN_WORDS])
        if campaign and campaign not in seen:
            seen.add(campaign)
            kept.append((email, spam))
    truths = [spam for _, spam in kept]
    train, test = train_test_split(kept, test_size=test_share, random_state=seed, stratify=truths)
    return {"train": train, "test": test}


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
    body = "\n".join(without_footer(text) for text in texts(message))
    subject = LIST_TAG.sub("", subject_of(message))
    return Email(subject=clean(subject)[:1000], body=clean(body)[:200_000])


def without_footer(text: str) -> str:
    """The text up to a ruled-off end of at most 12 lines, where lists sign what they forward."""
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
