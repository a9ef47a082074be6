"""Explanations of texts by their words."""

import pytest

from slipway.contract import Record
from slipway.contract.text_fields import text_fields
from slipway.explain import NotExplainable
from slipway.explain.parts import Budget
from slipway.explain.texts import MOST_SPANS, explain_text, split_words
from tests.slipway.explain.picture_models import Mail, Mood, Picture, Words, finish

PLENTY = Budget(seconds=600)


def explained(subject: str, body: str = ""):
    return finish(explain_text(Words(), Mail(subject=subject, body=body), PLENTY))


def test_known_words_get_their_weights() -> None:
    found = explained("Free money", "we are sorry, friend")
    values = {each.text: each.value for each in found.spans}
    assert values["Free"] == pytest.approx(0.25)
    assert values["money"] == pytest.approx(0.125)
    assert values["sorry"] == pytest.approx(-0.25)
    assert values["friend"] == pytest.approx(0)
    assert (found.base, found.value) == (0, 0.125)
    assert abs(found.gap) < 1e-12
    assert [each.field for each in found.spans] == ["subject"] * 2 + ["body"] * 4


def test_words_that_count_only_together_share_alike() -> None:
    found = explained("a big old bargain")
    assert [each.value for each in found.spans] == pytest.approx([0, 0.25, 0, 0.25])
    assert max(each.standard_error for each in found.spans) == 0


def test_long_texts_are_divided_into_spans_of_words() -> None:
    body = "word " * 480 + "free, " + "word " * 500
    found = explained("hello", body)
    assert len(found.spans) <= MOST_SPANS + 1
    largest = max(found.spans, key=lambda each: each.value)
    assert "free" in largest.text
    assert largest.value == pytest.approx(0.25)
    assert found.evaluations <= 4000


def test_spans_are_the_places_in_the_text() -> None:
    subject = "Don’t panic - it's 3.5 % off, naïve-ish"
    found = explained(subject)
    for each in found.spans:
        assert subject[each.start : each.end] == each.text
    assert [each.text for each in found.spans] == "Don’t panic it's 3.5 off naïve-ish".split()


def test_a_text_without_words_is_refused() -> None:
    with pytest.raises(NotExplainable, match="no word"):
        explained(" ... ", "!")


def test_signs_between_words_stay() -> None:
    mail = Mail(subject="a, b", body="")
    assert [len(span) for span in split_words(mail, ("subject", "body"))] == [1, 1]
    texts: list[str] = []

    class Recorder(Words):
        def predict(self, model_input: list[Mail]) -> list[Mood]:
            texts.extend(each.subject for each in model_input)
            return super().predict(model_input)

    finish(explain_text(Recorder(), mail, PLENTY))
    assert set(texts) == {"a, b", ", ", "a, ", ", b"}


def test_only_records_of_nothing_but_texts_have_words_to_explain() -> None:
    class Flagged(Record):
        text: str
        urgent: bool

    assert text_fields(Mail) == ("subject", "body")
    assert text_fields(Flagged) == ()
    assert text_fields(Picture) == ()
