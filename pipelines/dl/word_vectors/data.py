"""Analogies whose words the corpus has often enough; no word is in both splits."""

import numpy as np
import pandas as pd
import pandera.pandas as pa

from slipway.datasets import Dataset

from .corpus import read_corpus
from .counting import ppmi
from .model import Answer, Query
from .questions import Question, answers, read_questions, without_shared_words

SCHEMA = pa.DataFrameSchema(
    {
        "category": pa.Column(str, pa.Check.str_length(min_value=1)),
        **{
            name: pa.Column(str, pa.Check.str_matches("^[a-z-]+$"))
            for name in ("first", "second", "third", "answer")
        },
    }
)
Row = tuple[Query, Answer]


def splits(
    dataset: Dataset, *, seed: int, reviews: int, vocabulary: int, contexts: int, window: int
) -> dict[str, list[Row]]:
    """Return validation questions as `train`, and test questions, in random order.

    Vectors are learned from the corpus, not from the questions: `fit` uses those in `train` only to
    choose among the candidates. The baseline's answers are computed here, for it has no weights.
    """
    questions = read_questions(dataset.path("questions-words.txt"))
    SCHEMA.validate(pd.DataFrame([vars(each) for each in questions]))
    corpus = read_corpus(reviews=reviews, vocabulary=vocabulary)
    known = [each for each in questions if set(each.words) <= corpus.places.keys()]
    print(f"{len(known):,} of {len(questions):,} questions have known words only", flush=True)
    halves = without_shared_words(known, seed)
    values = ppmi(corpus, contexts=contexts, window=window)
    generator, found = np.random.default_rng(seed), {}
    for name, half in zip(("train", "test"), halves, strict=True):
        order = [half[place] for place in generator.permutation(len(half))]
        by_counts = answers(order, values, corpus.places)
        found[name] = [
            row(question, corpus.words[number])
            for question, number in zip(order, by_counts, strict=True)
        ]
    return found


def row(question: Question, by_counts: str) -> Row:
    """Return the question as a query, and its answer."""
    query = Query(positive=[question.second, question.third], negative=[question.first])
    answer = Answer(
        word=question.answer,
        category=question.category,
        pairs=list(question.pairs),
        by_counts=by_counts,
    )
    return query, answer
