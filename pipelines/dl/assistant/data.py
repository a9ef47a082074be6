"""Passages of Wikipedia to rate, and easy questions to answer, in turn."""

import tarfile
from collections.abc import Iterator
from itertools import chain, zip_longest

import numpy as np

from slipway.datasets import Dataset, fetch

from .chat import ChatTokenizer
from .gguf_tokenizer import read_tokenizer
from .model import Conversation, Message, Reference
from .questions import TEST, TRAIN
from .trigram import Trigrams

Row = tuple[Conversation, Reference]
# Of the validation text, the trigram model counts the first part; the rest is rated.
COUNTED = 0.8


def splits(
    dataset: Dataset,
    *,
    seed: int,
    train: int,
    test: int,
    characters: int,
    max_tokens: int,
) -> dict[str, list[Row]]:
    """Return rows from the validation text to choose a graph by, and rows to test it.

    `train` and `test` are numbers of passages, `characters` is the length of each.
    """
    tokenizer = ChatTokenizer(read_tokenizer(dataset.path("SmolLM2-135M-Instruct.Q4_1.gguf")))
    valid, tested = texts()
    border = valid.index("\n", int(COUNTED * len(valid)))
    trigrams = Trigrams(tokenizer.tokens(valid[:border]), tokenizer.tokenizer.get_vocab_size())
    generator = np.random.default_rng(seed)

    def rows(text: str, count: int, questions: tuple[tuple[str, str], ...]) -> list[Row]:
        answered = [question(*each, max_tokens) for each in questions]
        rated = [
            passage(each, trigrams.log_probability(tokenizer.tokens(each)))
            for each in passages(text, count, characters, generator)
        ]
        return [each for each in chain(*zip_longest(answered, rated)) if each]

    return {"train": rows(valid[border:], train, TRAIN), "test": rows(tested, test, TEST)}


def texts() -> tuple[str, str]:
    """Return the validation text and the test text of WikiText-2."""
    with tarfile.open(fetch("wikitext2").path("wikitext2_valid_test.tar.xz")) as archive:
        files = {name: archive.extractfile(name) for name in ("valid.txt", "test.txt")}
        found = [file.read().decode() for file in files.values() if file is not None]
    return found[0], found[1]


def passages(
    text: str, count: int, characters: int, generator: np.random.Generator
) -> Iterator[str]:
    """Yield passages from the beginnings of drawn paragraphs that are long enough."""
    long = [line.strip() for line in text.splitlines() if len(line) > characters]
    for place in np.sort(generator.permutation(len(long))[:count]):
        yield long[place][:characters].rpartition(" ")[0]


def question(text: str, answer: str, max_tokens: int) -> Row:
    """Return a question with the word that its answer should hold."""
    messages = [Message(role="user", content=text)]
    return Conversation(messages=messages, max_tokens=max_tokens), Reference(text=answer)


def passage(text: str, log_probability: float) -> Row:
    """Return a passage to rate, with the trigram model's rating."""
    reference = Reference(text=text, trigram_log_probability=round(log_probability, 4))
    return Conversation(messages=[], rated=text), reference
