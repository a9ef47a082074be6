"""Movies: requests contain nothing of the future, arithmetic matches references, cold start."""

from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from pipelines.ml.movies import data, train
from pipelines.ml.movies.model import FILMS, Movies, Rating, Suggestions, Viewer, posterior
from pipelines.ml.movies.order import precision
from pipelines.ml.movies.rated import Rated, later_ratings, sent_ratings
from pipelines.ml.movies.stars import cosine, factorize, item_based, user_based
from slipway.datasets import Dataset, fetch
from slipway.training import LabelledRows

SHARE = 0.2


@pytest.fixture(scope="module")
def movielens() -> Dataset:
    return fetch("movielens_100k")


@pytest.fixture(scope="module")
def splits(movielens: Dataset) -> dict[str, list[tuple[Viewer, data.Label]]]:
    return {name: list(rows) for name, rows in data.splits(movielens, test_share=SHARE).items()}


@pytest.fixture(scope="module")
def model(
    splits: dict[str, list[tuple[Viewer, data.Label]]], tmp_path_factory: pytest.TempPathFactory
) -> Movies:
    """Return a model fitted on 300 viewers."""
    weights = tmp_path_factory.mktemp("movies")
    kept = splits["train"][:300]
    train.fit(
        train=LabelledRows([viewer for viewer, _ in kept], [label for _, label in kept]),
        weights=weights,
        seed=1,
        validation_share=0.25,
        factors=[4],
        order_factors=8,
        rounds=4,
    )
    fitted = Movies()
    fitted.load(weights)
    return fitted


def predict(model: Movies, **fields: object) -> Suggestions:
    return model.predict([Viewer.model_validate(fields)])[0]


def test_nothing_of_the_future_is_sent_or_learnt_from(
    movielens: Dataset, splits: dict[str, list[tuple[Viewer, data.Label]]]
) -> None:
    """Ratings to predict come after all that are sent; test ratings after all training ratings."""
    lines = movielens.path("ratings.tsv").read_text().splitlines()[1:]
    rows = [[int(float(word)) for word in line.split("\t")] for line in lines]
    moment = sorted(time for *_, time in rows)[int(len(rows) * (1 - SHARE))]
    history: dict[int, dict[int, tuple[int, int]]] = {}
    for user, film, stars, time in rows:
        history.setdefault(user, {})[film] = (stars, time)
    owners = {frozenset(films): films for films in history.values()}
    predicted_ratings = 0
    for viewer, label in splits["test"]:
        sent = {each.film for each in viewer.ratings}
        own = owners[frozenset([*sent, *viewer.films])]
        times = [own[film][1] for film in viewer.films]
        assert min(times) >= moment
        assert max((own[film][1] for film in sent), default=0) < min(times)
        assert label["stars"] == [own[film][0] for film in viewer.films]
        predicted_ratings += len(times)
    assert predicted_ratings > 10_000
    learnt = {}
    for viewer, label in splits["train"]:
        ratings = sent_ratings(viewer) | later_ratings(viewer, label)
        learnt[frozenset(ratings)] = ratings
    for films in history.values():
        before = frozenset(film for film, (_, time) in films.items() if time < moment)
        if before:
            assert learnt[before] == {film: films[film][0] for film in before}
    assert sum(map(len, learnt.values())) == sum(time < moment for *_, time in rows)


def test_requested_films_do_not_change_the_suggestions(model: Movies) -> None:
    ratings = [{"film": 50, "stars": 5}, {"film": 100, "stars": 2}]
    plain = predict(model, ratings=ratings)
    with_films = predict(model, ratings=ratings, films=[plain.suggested[0].film, 7])
    assert with_films.suggested == plain.suggested
    assert with_films.requested[0] == plain.suggested[0]


def test_suggestions_leave_out_rated_films_and_other_genres(model: Movies) -> None:
    first = predict(model, genre="Horror", count=5).suggested
    again = predict(model, genre="Horror", count=5, ratings=[{"film": first[0].film, "stars": 3}])
    assert first[0].film not in {each.film for each in again.suggested}
    films = train.catalogue()
    assert all("Horror" in films[each.film - 1]["genres"] for each in first + again.suggested)


def test_a_title_is_equivalent_to_a_number(model: Movies) -> None:
    by_title = predict(model, ratings=[{"title": "toy story", "stars": 5}])
    assert by_title == predict(model, ratings=[{"film": 1, "stars": 5}])
    unknown = predict(model, ratings=[{"title": "No Such Film", "stars": 5}])
    assert (unknown.unknown_titles, unknown.ratings_used) == (["No Such Film"], 0)
    assert unknown.suggested == predict(model).suggested


def test_ratings_of_a_film_by_number_and_title_are_averaged(model: Movies) -> None:
    twice = [{"film": 50, "stars": 5}, {"title": "Star Wars", "stars": 1}]
    expected = predict(model, films=[181], ratings=[{"film": 50, "stars": 3}])
    for ratings in (twice, twice[::-1]):
        assert predict(model, films=[181], ratings=ratings) == expected


def test_a_film_with_two_numbers_is_one_film(model: Movies) -> None:
    """Body Snatchers has the numbers 573 and 670; fewer than 100 films have its genre."""

    def suggested(**fields: object) -> list[tuple[str, int | None]]:
        found = predict(model, genre="Horror", count=100, **fields).suggested
        return [(each.title, each.year) for each in found]

    film = ("Body Snatchers", 1993)
    assert len(set(suggested())) == len(suggested()) < 100
    assert film in suggested()
    for rated in ({"title": "Body Snatchers"}, {"film": 573}, {"film": 670}):
        assert film not in suggested(ratings=[{**rated, "stars": 5}])


def test_ratings_move_the_stars_of_similar_films(model: Movies) -> None:
    """Five stars for two films of a trilogy lift the third; one star lowers it."""
    films = {"films": [181], "count": 1}
    given = {
        stars: predict(
            model, **films, ratings=[{"film": film, "stars": stars} for film in (50, 172)]
        )
        for stars in (1, 5)
    }
    assert (
        given[1].requested[0].stars
        < predict(model, **films).requested[0].stars
        < given[5].requested[0].stars
    )


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"films": [FILMS + 1]}, "no film 1683; numbers go from 1 to 1682"),
        ({"ratings": [{"film": 0, "stars": 3}]}, "greater than or equal to 1"),
        ({"ratings": [{"film": 7, "stars": 3}] * 2}, "7 is rated twice"),
        (
            {"ratings": [{"title": each, "stars": 3} for each in ("Star Wars", "star wars ")]},
            "'star wars' is rated twice",
        ),
        ({"ratings": [{"stars": 3}]}, "by film .its number. or by title"),
    ],
)
def test_invalid_films_and_ratings_are_refused(fields: dict, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Viewer.model_validate(fields)


def test_the_posterior_is_the_prior_without_rows_and_the_truth_with_many() -> None:
    rng = np.random.default_rng(0)
    prior, penalty, coefficients = (
        rng.normal(size=3),
        np.array([1.0, 5.0, 5.0]),
        np.array([1.0, -2, 3]),
    )
    assert posterior(np.empty((0, 3)), np.empty(0), prior, penalty) == pytest.approx(prior)
    design = rng.normal(size=(50_000, 3))
    assert posterior(design, design @ coefficients, prior, penalty) == pytest.approx(
        coefficients, abs=1e-3
    )


def test_cosines_are_those_of_the_shared_entries() -> None:
    left, right = np.array([[1.0, 2.0, 0.0, -1.0]]), np.array([[2.0, 0.0, 3.0, 1.0]])
    expected = (1 * 2 - 1 * 1) / np.sqrt((1 + 1) * (4 + 1)) * 2 / (2 + 20)
    assert cosine(left, right)[0, 0] == pytest.approx(expected)


def test_models_predict_from_viewers_with_the_same_taste() -> None:
    """With two opposite tastes, half of a viewer's stars predict the other half."""
    rng = np.random.default_rng(0)
    taste = np.tile([1.0, -1.0], 100)[:, None] * np.where(np.arange(FILMS) % 2, 1, -1)
    stars = np.where(rng.random((200, FILMS)) < 0.1, 3 + taste, np.nan)
    rated = Rated(stars, np.zeros((200, 29)))
    shown = Rated(np.where(np.arange(FILMS) < FILMS // 2, stars, np.nan), rated.people)
    rest = Rated(np.where(np.arange(FILMS) < FILMS // 2, np.nan, stars), rated.people)
    films = np.ones((FILMS, 1))
    for predict_stars in (
        user_based(rated, 10),
        item_based(rated, 10),
        factorize(rated, films, 2, 1.0, 8, 0),
    ):
        assert (
            train.rmse(predict_stars(shown), rest)
            < 0.5
            < train.rmse(np.full_like(stars, 3.0), rest)
        )


def test_precision_counts_liked_films_among_the_first_ten_not_sent() -> None:
    sent, then, order = (np.full((1, FILMS), np.nan) for _ in range(3))
    sent[0, 0], then[0, 1:4] = 5.0, [5.0, 4.0, 3.0]
    order[0] = -np.arange(FILMS)
    people = np.zeros((1, 29))
    found = precision(order, Rated(sent, people), Rated(then, people))
    assert found == pytest.approx(0.2)


def test_the_served_files_contain_no_viewer(model: Movies, tmp_path: Path) -> None:
    """Arrays have a row per film or attribute; none has a row per viewer."""
    shapes = {name: array.shape for name, array in model._arrays.items()}
    assert all(300 not in shape for shape in shapes.values()), shapes


def test_a_rating_identifies_its_film_in_one_way() -> None:
    with pytest.raises(ValidationError, match="one of the two"):
        Rating(film=1, title="Toy Story", stars=4)


def test_the_standard_error_of_the_rmse_resamples_viewers() -> None:
    """If all errors of a viewer are equal, each viewer counts as one error."""
    errors = np.random.default_rng(1).uniform(0.2, 1.8, 400)
    then = Rated(np.full((400, FILMS), 3.0), np.zeros((400, 29)))
    stars = then.stars + errors[:, None]
    found = train.rmse_error(stars, then, seed=0)
    expected = (errors**2).std() / np.sqrt(400) / (2 * train.rmse(stars, then))
    assert found == pytest.approx(expected, rel=0.15)
    assert list(train.learners(np.ones((FILMS, 1)), [16, 8], 1, 0))[-2:] == ["svd_8", "svd_16"]
