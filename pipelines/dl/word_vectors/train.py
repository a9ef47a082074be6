"""Counted vectors, their SVD, CBOW and skip-gram, compared by analogies.

The two networks train at the same time, a thread each; each alone is one thread, so equal runs give
equal bytes. The candidates' vectors are learned from the whole corpus, without the questions, so
the chosen one is not trained again.
"""

import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from slipway.datasets import fetch
from slipway.deep import export_onnx
from slipway.deep.checkpoint import key_of
from slipway.deep.progress import Progress
from slipway.training import Candidate, Fitted, LabelledRows
from slipway.training.selection import simplest_within_error

from .corpus import Corpus, read_corpus
from .counting import ppmi, svd_vectors
from .model import FILE, Answer, Neighbours, Query, as_arrays, found
from .negative_sampling import Recipe, Training
from .network import Nearest
from .questions import GroupBootstrap, Question, answers
from .similarity import correlations

SOURCES = ("corpus.py", "negative_sampling.py", "questions.py", "train.py")


class Validation:
    """Validation questions, and the lists of word pairs with a similarity that people see."""

    def __init__(self, rows: LabelledRows[Query, Answer], corpus: Corpus, seed: int) -> None:
        self.places, self.seed = corpus.places, seed
        self.questions = [
            Question(
                label.category,
                query.negative[0],
                query.positive[0],
                query.positive[1],
                label.word,
            )
            for query, label in rows
        ]
        self.bootstrap = GroupBootstrap(
            [each.pairs for each in self.questions], [each.category for each in self.questions]
        )
        dataset = fetch("word_analogies")
        names = {"wordsim353": "wordsim353.tsv", "simlex999": "simlex999.txt"}
        self.files = {name: dataset.path(file) for name, file in names.items()}

    def right(self, vectors: np.ndarray) -> np.ndarray:
        """Return whether each question is answered rightly, (questions,)."""
        wanted = np.array([self.places[each.answer] for each in self.questions])
        return np.asarray(answers(self.questions, vectors, self.places) == wanted)

    def accuracy(self, vectors: np.ndarray) -> float:
        return float(self.right(vectors).mean())

    def metrics(self, vectors: np.ndarray) -> dict[str, float]:
        """Return the accuracy with its standard error, and correlations with people's judgement."""
        right = self.right(vectors)
        error = float(self.bootstrap.resampled(right, seed=self.seed).std(ddof=1))
        ranks = correlations(vectors, self.places, self.files)
        return {"accuracy": float(right.mean()), "accuracy_se": error, **ranks}


def fit(
    *,
    train: LabelledRows[Query, Answer],
    weights: Path,
    seed: int,
    reviews: int,
    vocabulary: int,
    contexts: int,
    width: int,
    window: int,
    epochs: int,
) -> Fitted:
    """Learn the vectors of each candidate; export those of the simplest among the best."""
    corpus = read_corpus(reviews=reviews, vocabulary=vocabulary)
    validation = Validation(train, corpus, seed)
    values = ppmi(corpus, contexts=contexts, window=window)
    counted = {"contexts": values.shape[1], "window": window}
    vectors = {"baseline": values}
    tried = [Candidate("baseline", validation.metrics(values), counted)]
    print(f"counted: accuracy {tried[0].metrics['accuracy']:.4g}", flush=True)
    vectors["ppmi_svd"] = svd_vectors(values, width=width, seed=seed)
    metrics = validation.metrics(vectors["ppmi_svd"])
    tried.append(Candidate("ppmi_svd", metrics, {**counted, "width": width}))
    print(f"ppmi_svd: accuracy {metrics['accuracy']:.4g}", flush=True)
    recipes = {
        "cbow": Recipe(True, epochs, width, window, learning_rate=0.05),
        "skip_gram": Recipe(False, epochs, width, window),
    }
    curves = train_networks(corpus, recipes, seed, weights, validation.accuracy, vectors)
    for name, recipe in recipes.items():
        metrics = validation.metrics(vectors[name])
        tried.append(Candidate(name, metrics, asdict(recipe), {"accuracy": curves[name]}))
    chosen = simplest_within_error(tried, "accuracy", best="highest").name
    return Fitted(tried, chosen, export(vectors[chosen], corpus.words, weights))


def train_networks(
    corpus: Corpus,
    recipes: dict[str, Recipe],
    seed: int,
    weights: Path,
    validate: Callable[[np.ndarray], float],
    vectors: dict[str, np.ndarray],
) -> dict[str, list[float]]:
    """Add the networks' vectors to `vectors`; return their validation accuracy by epoch."""
    folder, own = weights.parent / "volatile" / "checkpoints", Path(__file__).parent
    sources = [(own / name).read_bytes() for name in SOURCES]
    trainings = {
        name: Training(
            corpus,
            recipe,
            seed,
            folder / f"{name}.npz",
            key_of(recipe, seed, corpus.words, corpus.tokens.tobytes(), *sources),
        )
        for name, recipe in recipes.items()
    }
    with ThreadPoolExecutor(len(trainings)) as threads:
        running = {
            name: threads.submit(each.run, Progress(name, each.recipe.epochs), validate)
            for name, each in trainings.items()
        }
        vectors |= {name: each.result() for name, each in running.items()}
    for each in trainings.values():
        each.file.unlink()
    return {name: each.curve for name, each in trainings.items()}


def export(
    vectors: np.ndarray, words: Sequence[str], weights: Path
) -> Callable[[list[Query]], list[Neighbours]]:
    """Write graph and vocabulary; return the predictions of the torch module."""
    module = Nearest(vectors)
    places = {word: place for place, word in enumerate(words)}
    (weights / FILE).write_text(json.dumps(list(words)) + "\n")
    example = as_arrays([Query(positive=[words[0]]), Query(positive=[words[1]])], places)
    tensors = {name: torch.from_numpy(each) for name, each in example.items()}
    export_onnx(module, tensors, ("similarities", "numbers"), weights)

    def framework_predict(queries: list[Query]) -> list[Neighbours]:
        arrays = as_arrays(queries, places)
        with torch.no_grad():
            near = module(*(torch.from_numpy(each) for each in arrays.values()))
        return found(queries, near[0].numpy(), near[1].numpy(), words, places)

    return framework_predict
