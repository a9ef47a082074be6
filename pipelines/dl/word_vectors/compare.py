"""Measure others' vectors: `python -m pipelines.dl.word_vectors.compare` writes references.json.

Run it after `prepare` by hand, in an environment with gensim. No stage does: gensim with several
threads gives other vectors each time. gensim learns from the same corpus with the same settings;
GloVe was learned from 6 billion words. Neither is a candidate. All choose among the same words,
and answer the validation questions: the test questions are kept for the model that is served.
"""

from pathlib import Path

import numpy as np
import pandas as pd
from gensim.models import Word2Vec  # type: ignore[import-untyped]

from slipway.datasets import fetch
from slipway.project import find
from slipway.training.splits import read_split
from slipway.training.workspace import Workspace, write_json

from .corpus import END, Corpus, read_corpus
from .train import Validation

RESULT = Path(__file__).with_name("references.json")
THREADS = 2


def gensim_vectors(corpus: Corpus, *, width: int, window: int, epochs: int) -> np.ndarray:
    """Return skip-gram vectors (words, width) by gensim, with the settings of our own."""
    ends = np.flatnonzero(corpus.tokens == END)
    texts = [
        [corpus.words[place] for place in part[part != END]]
        for part in np.split(corpus.tokens, ends)
    ]
    model = Word2Vec(
        texts,
        vector_size=width,
        window=window,
        epochs=epochs,
        sg=1,
        negative=5,
        sample=1e-4,
        alpha=0.025,
        min_count=1,
        workers=THREADS,
    )
    return np.stack([model.wv[word] for word in corpus.words])


def glove_vectors(corpus: Corpus) -> np.ndarray:
    """Return GloVe's vectors (words, 50); those of words that it lacks are 0."""
    dataset = fetch("glove_6b_50d")
    vectors = np.load(dataset.path("glove_6B_50d_emb.npy"))
    index = pd.read_parquet(dataset.path("glove_6B_index.parquet"))
    # The column holds the words in the order of the vectors.
    places = {word: row for row, word in enumerate(index["index"])}
    found = np.zeros((len(corpus.words), vectors.shape[1]), dtype=np.float32)
    for row, word in enumerate(corpus.words):
        if word in places:
            found[row] = vectors[places[word]]
    return found


def main() -> None:
    work = Workspace.for_project(find("word_vectors"))
    params = work.params.fit
    corpus = read_corpus(reviews=params["reviews"], vocabulary=params["vocabulary"])
    validation = Validation(read_split(work, "train"), corpus, params["seed"])
    settings = {name: params[name] for name in ("width", "window", "epochs")}
    vectors = {
        "gensim skip-gram": gensim_vectors(corpus, **settings),
        "GloVe 6B, 50d": glove_vectors(corpus),
    }
    measured = {name: validation.metrics(each) for name, each in vectors.items()}
    write_json(RESULT, measured)


if __name__ == "__main__":
    main()
