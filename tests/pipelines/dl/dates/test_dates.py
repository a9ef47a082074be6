"""Dates: the encoder against packing, beam search against all hypotheses, rules, and splits."""

import re
from datetime import date, timedelta
from itertools import pairwise, product

import numpy as np
import pytest
import torch
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from pipelines.dl.dates import data, network, symbols, train, written
from pipelines.dl.dates.model import CalendarDate, Dates, WrittenDate, alternatives, exists
from pipelines.dl.dates.rules import read_by_rules
from pipelines.dl.dates.search import beam_search
from slipway.datasets import fetch

TEXTS = ("5 March 2021", "the twenty-third of Septmber, 1999", "x", "03/04/2021")


def small_network() -> network.Transcriber:
    torch.manual_seed(3)
    transcriber = network.Transcriber(network.Recipe(width=16))
    transcriber.eval()
    return transcriber


def tensors(texts: tuple[str, ...]) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(each) for name, each in symbols.to_characters(texts).items()}


def test_the_reader_from_the_end_equals_that_of_a_packed_batch() -> None:
    encoder = small_network().encoder
    inputs = tensors(TEXTS)
    both = torch.nn.LSTM(32, 16, batch_first=True, bidirectional=True)
    for name, value in encoder.forward_reader.named_parameters():
        both.get_parameter(name).data.copy_(value.data)
    for name, value in encoder.backward_reader.named_parameters():
        both.get_parameter(f"{name}_reverse").data.copy_(value.data)
    packed = pack_padded_sequence(
        encoder.embedding(inputs["characters"]),
        inputs["lengths"],
        batch_first=True,
        enforce_sorted=False,
    )
    wanted, lengths = pad_packed_sequence(both(packed)[0], batch_first=True)
    states, _, _ = encoder(**inputs)
    for row, length in enumerate(lengths.tolist()):
        assert torch.allclose(states[row, :length], wanted[row, :length], atol=1e-6)


def test_padding_changes_no_text() -> None:
    dates = small_network()
    together = dates(**tensors(TEXTS))
    for row, text in enumerate(TEXTS):
        assert torch.allclose(dates(**tensors((text,)))[0], together[row], atol=1e-5)


def test_attention_looks_at_characters_of_the_text_alone() -> None:
    dates, inputs = small_network(), tensors(TEXTS)
    states, hidden, memory = dates.encoder(**inputs)
    start = torch.full((len(TEXTS),), symbols.START)
    *_, weights = dates.step(start, hidden, memory, states, inputs["lengths"])
    assert torch.allclose(weights.sum(dim=1), torch.ones(len(TEXTS)))
    assert weights[2, 1:].max() == 0


def test_teacher_forcing_feeds_the_true_symbols() -> None:
    dates, inputs = small_network(), tensors(TEXTS)
    one, other = (
        torch.from_numpy(symbols.to_symbols([each] * len(TEXTS)))
        for each in ("2021-03-05", "1999-12-31")
    )
    assert not torch.allclose(dates(**inputs, target=one), dates(**inputs, target=other))
    dates.teacher_forcing = 0.0
    assert torch.equal(dates(**inputs, target=one), dates(**inputs))


def test_the_loss_counts_symbols_up_to_the_first_end() -> None:
    target = torch.from_numpy(symbols.to_symbols(["2021-03"]))
    scores = torch.log_softmax(torch.randn(1, symbols.STEPS, len(symbols.SYMBOLS) + 1), dim=2)
    wanted = -scores[0, torch.arange(8), target[0, :8]].mean()
    assert network.negative_log_likelihood(scores, target) == pytest.approx(wanted.item())


def test_beam_search_finds_the_best_of_all_hypotheses(monkeypatch: pytest.MonkeyPatch) -> None:
    """With as many beams as there are hypotheses, it is exhaustive."""
    monkeypatch.setattr("pipelines.dl.dates.search.STEPS", 2)
    model = train.TorchDates(small_network(), 0.9)
    inputs = symbols.to_characters(TEXTS[:2])
    found = beam_search(model.run, inputs, 12**2)
    greedy = beam_search(model.run, inputs, 1)
    for row, text in enumerate(TEXTS[:2]):
        ended = [(each, log_probability(text, each)) for each in hypotheses()]
        best, score = max(ended, key=lambda each: each[1])
        assert found.symbols[row, 0, :2].tolist() == list(best)
        assert found.scores[row, 0] == pytest.approx(score, abs=1e-4)
        assert np.exp(found.scores[row]).sum() == pytest.approx(1, abs=1e-4)
        assert greedy.scores[row, 0] <= found.scores[row, 0] + 1e-6


def hypotheses() -> list[tuple[int, ...]]:
    """Return all rows of two symbols that are ends after the first end."""
    rows = product(range(12), repeat=2)
    return [row for row in rows if all(b == 0 for a, b in pairwise(row) if a == 0)]


def log_probability(text: str, row: tuple[int, ...]) -> float:
    dates, inputs = small_network(), tensors((text,))
    with torch.no_grad():
        states, hidden, memory = dates.encoder(**inputs)
        last, total = symbols.START, 0.0
        for symbol in row:
            scores, hidden, memory, _ = dates.step(
                torch.tensor([last]), hidden, memory, states, inputs["lengths"]
            )
            total += float(scores[0, symbol])
            if symbol == symbols.END:
                break
            last = symbol
    return total


def test_hypotheses_without_a_day_count_as_no_date() -> None:
    rows = symbols.to_symbols(["2021-02-30", "2021-02-20", "2021-02-31", ""])
    found = alternatives(rows, np.log([0.4, 0.35, 0.15, 0.05]))
    assert [(each.date, round(each.probability, 6)) for each in found] == [
        ("", 0.6),
        ("2021-02-20", 0.35),
    ]
    assert exists("2020-02-29")
    assert not any(map(exists, ("2021-02-29", "2021-13", "0000-01", "2021", "2021-1-01", "-----")))


def test_the_threshold_is_the_least_with_enough_right_ones() -> None:
    right = np.array([True] * 400 + [False, True, False, False])
    probabilities = np.linspace(1, 0.5, len(right))
    threshold = train.confidence_threshold(probabilities, right)
    assert right[probabilities >= threshold - 0.0006].mean() >= train.CONFIDENT
    assert threshold == pytest.approx(probabilities[402], abs=0.001)


@pytest.fixture(scope="module")
def model() -> Dates:
    """The served model with an untrained network."""
    return train.TorchDates(small_network(), 0.9)


def test_texts_with_other_numbers_of_beams_keep_their_order(model: Dates) -> None:
    records = [WrittenDate(text=text, beams=1 + row % 3) for row, text in enumerate(TEXTS)]
    together = model.predict(records)
    for record, prediction in zip(records, together, strict=True):
        (alone,) = model.predict([record])
        assert prediction.date == alone.date
        assert prediction.probability == pytest.approx(alone.probability, abs=1e-5)
        assert len(prediction.alternatives) <= record.beams


@pytest.mark.parametrize("text", [" ", "\n", "日付", "🙂" * 56, "9" * 56, "\x00", "İ" * 56])
def test_odd_texts_are_read(text: str, model: Dates) -> None:
    (prediction,) = model.predict([WrittenDate(text=text, beams=10)])
    assert prediction == CalendarDate.model_validate(prediction.model_dump())
    features = model.monitoring_features([WrittenDate(text=text)], [prediction])
    assert all(np.isfinite(each).all() for each in features.values())


def test_rules_read_every_format_without_typing_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(written, "mistyped", lambda name, generator: name)
    generator = np.random.default_rng(5)
    for kind in written.FORMATS:
        for offset in range(60):
            day = date(1970, 1, 1) + timedelta(offset * 599)
            text = written.write(written.Parts(day.year, day.month, day.day), kind, generator)
            iso = day.isoformat()
            assert read_by_rules(text) == (iso[:7] if kind == written.MONTH_ONLY else iso), text


def test_impossible_days_are_none() -> None:
    generator = np.random.default_rng(5)
    texts = [written.impossible_day(generator) for _ in range(200)]
    # A mistyped month is no date to the rules either.
    assert {read_by_rules(text) for text in texts} == {""}


def test_no_date_and_no_text_is_in_two_splits() -> None:
    sizes = {"days": 3000, "test_days": 800, "other": 500, "test_other": 100}
    splits = data.splits(fetch("wikitext2"), seed=1, **sizes)
    train_rows, test_rows = splits["train"], splits["test"]
    days = [{label for _, label in rows if label} for rows in (train_rows, test_rows)]
    assert not days[0] & days[1]
    assert not {each.text for each, _ in train_rows} & {each.text for each, _ in test_rows}
    for rows in splits.values():
        assert all(exists(label) for _, label in rows if label)
        # Of the texts without a date, articles have no year.
        assert not [
            each.text
            for each, label in rows
            if not label and re.search(r"\b(19|20)\d\d\b", each.text) and read_by_rules(each.text)
        ]
