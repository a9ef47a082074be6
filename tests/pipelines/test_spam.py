"""Spam: no duplicate campaign, no trace of a mail's origin, and no mail that is slow to clean."""

import re
import time
from email import message_from_string

import numpy as np
import pytest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.preprocessing import normalize

from pipelines.ml.spam import data, train
from pipelines.ml.spam.model import KINDS, Email, features, words
from slipway.datasets import fetch

LONGEST = 200_000
OFFER = "claim cheap pills order pharmacy shipping free discount doctor prescription needed".split()


@pytest.fixture(scope="module")
def splits() -> dict[str, list[tuple[Email, bool]]]:
    pairs = data.splits(fetch("spam_assassin_emails"), seed=5, test_share=0.2)
    return {name: list(rows) for name, rows in pairs.items()}


def test_no_mail_has_a_near_duplicate_in_either_split(splits: dict) -> None:
    mails = [email for rows in splits.values() for email, _ in rows]
    counts = CountVectorizer(analyzer=words, dtype=np.float32).fit_transform(mails)
    unit = normalize(counts.log1p())
    similarity = (unit @ unit.T).tolil()
    similarity.setdiag(0)
    assert similarity.tocsr().max() < 0.85
    shares = [np.mean([spam for _, spam in rows]) for rows in splits.values()]
    assert shares[0] == pytest.approx(shares[1], abs=0.005)


def test_a_campaign_is_recognized_despite_another_greeting_and_code() -> None:
    texts = [
        ["dear", "anna", *OFFER, *OFFER],
        ["hi", *OFFER, *OFFER, "xkqjz"],
        ["dear", "anna", "patch", "compiler", "tonight"],
        [],
        ["patch", "compiler", "tonight", "anna", "dear"],
    ]
    assert data.distinct(texts) == [0, 2]


def mail(body: str) -> Email:
    return data.to_email(message_from_string(f"Subject: [ILUG] Hello\n\n{body}"))


@pytest.mark.parametrize(
    "body",
    [
        "URL: http://boingboing.net/#85537486\nDate: Not supplied\n\nWords.",
        "Words.\n\n------------ Yahoo! Groups Sponsor ---------~-->\n4 DVDs Free\n",
        "Words.\n\nTo unsubscribe from this group, send an email to:\na@egroups.com\n\n"
        "Your use of Yahoo! Groups is subject to http://docs.yahoo.com/info/terms/",
        "Words.\n_______________________________________________\nhttp://list.example/info",
        "Words.\n\n--DeathToSpamDeathToSpamDeathToSpam--\n",
    ],
)
def test_additions_of_lists_and_feeds_are_removed(body: str) -> None:
    assert words(mail(body)) == ["hello", "words"]


def test_no_trace_of_feeds_and_yahoos_lists_is_left(splits: dict) -> None:
    bodies = [email.body for rows in splits.values() for email, _ in rows]
    assert not [body for body in bodies if re.match(r"\s*URL:", body)]
    assert not [body for body in bodies if re.search(r"^-+ Yahoo! Groups Sponsor", body, re.M)]


def test_no_line_of_the_collector_is_left(splits: dict) -> None:
    bodies = [email.body.lower() for rows in splits.values() for email, _ in rows]
    assert sum("deathtospam" in body for body in bodies) <= 1


def test_words_are_those_that_a_reader_sees() -> None:
    body = (
        "<html><style>p {color: red}</style><!-- xkqjz --><b>F&#82;EE</b> <a href=x>offer</a>"
        "<script>hidden()</script> $1,000 at http://x.example/a?b from me@x.example 24/7"
    )
    assert words(Email(subject="Win <!-- this", body=body)) == (
        ["win", "free", "offer", "moneyamount", "webaddress", "mailaddress", "somenumber"]
    )
    assert words(Email(subject="", body="seen <script>hidden")) == ["seen"]
    assert words(Email(subject="", body="seen <!-- hidden")) == ["seen"]


def test_the_fast_expression_matches_the_same_addresses_as_the_plain_one() -> None:
    (found,) = [pattern for pattern, kind in KINDS if kind == " mailaddress "]
    plain = re.compile(r"\S+@\S+")
    rng = np.random.default_rng(0)
    for _ in range(3000):
        text = "".join(rng.choice(list("ab@ .<\n"), 40))
        assert found.sub("#", text) == plain.sub("#", text)


PIECES = (
    "< <a <!-- <!---> <script> <script</script <style a \u3042 @ a@ [a] http:// www. $ $1 1 & &#1"
)


@pytest.mark.parametrize("piece", [*PIECES.split(), " ", "\n"])
def test_no_mail_is_slow_to_clean(piece: str) -> None:
    """Each takes less than half a second; a quadratic expression would take minutes."""
    body = (piece * LONGEST)[:LONGEST]
    start = time.process_time()
    words(Email(subject=body[:1000], body=body))
    assert time.process_time() - start < 5


@pytest.mark.parametrize("body", ["&#" + "9" * 5000 + ";", "&#x" + "f" * 5000, "&#0;", "&#55296;"])
def test_too_large_character_references_are_ignored(body: str) -> None:
    assert words(Email(subject="", body=f"seen {body} well")) == ["seen", "well"]


def test_only_known_words_are_counted() -> None:
    mails = [Email(subject="free pills", body="free order"), Email(subject="", body="")]
    counts = features(mails, {"free": 0, "pills": 1})["counts"]
    assert counts.tolist() == [[2, 1], [0, 0]]


def test_a_word_in_two_messages_is_not_in_the_vocabulary() -> None:
    mails = [Email(subject="common", body="rare" if place < 2 else "") for place in range(3)]
    assert train.vocabulary(mails, 10) == ["common"]


def test_candidates_make_different_predictions() -> None:
    """With two classes, complement and even-prior naive Bayes would be the same classifier."""
    rng = np.random.default_rng(0)
    spam = np.arange(200) % 3 == 0
    counts = rng.poisson(np.where(spam[:, None], [3, 1, 1, 1], [1, 1, 1, 3])).astype(np.float32)
    y_prob = {
        name: pipeline.fit(counts, spam).predict_proba(counts)[:, 1].round(9).tolist()
        for name, pipeline in train.pipelines().items()
    }
    assert len({tuple(each) for each in y_prob.values()}) == len(y_prob)
