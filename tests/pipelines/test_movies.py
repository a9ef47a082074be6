"""Movies: nothing of the future is sent, arithmetic against plain references, cold start."""

from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from pipelines.ml.movies import data, train
from pipelines.ml.movies.model import FILMS, Movies, Rating, Suggestions, Viewer, posterior
from pipelines.ml.movies.order import precision
from pipelines.ml.movies.rated import Rated, asked
from pipelines.ml.movies.rated import sent as ratings_sent
from pipelines.ml.movies.stars import cosine, factorized, item_based, user_based
from slipway.datasets import Dataset, fetch
from slipway.training import Examples

SHARE = 0.2


@pytest.fixture(scope="module")
def movielens() -> Dataset:
    return fetch("movielens_100k")


@pytest.fixture(scope="module")
def splits(movielens: Dataset) -> dict[str, list[tuple[Viewer, data.Truth]]]:
    return {name: list(rows) for name, rows in data.splits(movielens, test_share=SHARE).items()}


@pytest.fixture(scope="module")
def model(
    splits: dict[str, list[tuple[Viewer, data.Truth]]], tmp_path_factory: pytest.TempPathFactory
) -> Movies:
    """Learnt from 300 viewers."""
    weights = tmp_path_factory.mktemp("movies")
    kept = splits["train"][:300]
    train.fit(
        train=Examples([viewer for viewer, _ in kept], [truth for _, truth in kept]),
        weights=weights,
        seed=1,
        validation_share=0.25,
        factors=[4],
        order_factors=8,
        rounds=4,
    )
    made = Movies()
    made.load(weights)
    return made


def ask(model: Movies, **fields: object) -> Suggestions:
    return model.predict([Viewer.model_validate(fields)])[0]


def test_nothing_of_the_future_is_sent_or_learnt_from(
    movielens: Dataset, splits: dict[str, list[tuple[Viewer, data.Truth]]]
) -> None:
    """Every asked rating comes after all that are sent; the test's after all of the training's."""
    lines = movielens.path("ratings.tsv").read_text().splitlines()[1:]
    rows = [[int(float(word)) for word in line.split("\t")] for line in lines]
    moment = sorted(time for *_, time in rows)[int(len(rows) * (1 - SHARE))]
    history: dict[int, dict[int, tuple[int, int]]] = {}
    for user, film, stars, time in rows:
        history.setdefault(user, {})[film] = (stars, time)
    owners = {frozenset(films): films for films in history.values()}
    asked_in_all = 0
    for viewer, truth in splits["test"]:
        sent = {each.film for each in viewer.ratings}
        own = owners[frozenset([*sent, *viewer.films])]
        times = [own[film][1] for film in viewer.films]
        assert min(times) >= moment
        assert max((own[film][1] for film in sent), default=0) < min(times)
        assert truth["stars"] == [own[film][0] for film in viewer.films]
        asked_in_all += len(times)
    assert asked_in_all > 10_000
    learnt = {}
    for viewer, truth in splits["train"]:
        ratings = ratings_sent(viewer) | asked(viewer, truth)
        learnt[frozenset(ratings)] = ratings
    for films in history.values():
        before = frozenset(film for film, (_, time) in films.items() if time < moment)
        if before:
            assert learnt[before] == {film: films[film][0] for film in before}
    assert sum(map(len, learnt.values())) == sum(time < moment for *_, time in rows)


def test_what_is_asked_for_does_not_change_what_is_suggested(model: Movies) -> None:
    ratings = [{"film": 50, "stars": 5}, {"film": 100, "stars": 2}]
    plain = ask(model, ratings=ratings)
    told = ask(model, ratings=ratings, films=[plain.suggested[0].film, 7])
    assert told.suggested == plain.suggested
    assert told.asked[0] == plain.suggested[0]


def test_suggestions_leave_out_what_was_rated_and_other_genres(model: Movies) -> None:
    first = ask(model, genre="Horror", count=5).suggested
    again = ask(model, genre="Horror", count=5, ratings=[{"film": first[0].film, "stars": 3}])
    assert first[0].film not in {each.film for each in again.suggested}
    films = train.catalogue()
    assert all("Horror" in films[each.film - 1]["genres"] for each in first + again.suggested)


def test_a_title_is_as_good_as_a_number(model: Movies) -> None:
    by_title = ask(model, ratings=[{"title": "toy story", "stars": 5}])
    assert by_title == ask(model, ratings=[{"film": 1, "stars": 5}])
    told = ask(model, ratings=[{"title": "No Such Film", "stars": 5}])
    assert (told.unknown_titles, told.ratings_used) == (["No Such Film"], 0)
    assert told.suggested == ask(model).suggested


def test_a_film_sent_under_number_and_title_has_its_average(model: Movies) -> None:
    twice = [{"film": 50, "stars": 5}, {"title": "Star Wars", "stars": 1}]
    wanted = ask(model, films=[181], ratings=[{"film": 50, "stars": 3}])
    for ratings in (twice, twice[::-1]):
        assert ask(model, films=[181], ratings=ratings) == wanted


def test_a_film_that_stands_twice_is_one_film(model: Movies) -> None:
    """Body Snatchers has the numbers 573 and 670; fewer than 100 films have its genre."""

    def told(**fields: object) -> list[tuple[str, int | None]]:
        found = ask(model, genre="Horror", count=100, **fields).suggested
        return [(each.title, each.year) for each in found]

    film = ("Body Snatchers", 1993)
    assert len(set(told())) == len(told()) < 100
    assert film in told()
    for rated in ({"title": "Body Snatchers"}, {"film": 573}, {"film": 670}):
        assert film not in told(ratings=[{**rated, "stars": 5}])


def test_ratings_move_the_stars_their_way(model: Movies) -> None:
    """Five stars for two films of a trilogy lift the third; one star lowers it."""
    films = {"films": [181], "count": 1}
    given = {
        stars: ask(model, **films, ratings=[{"film": film, "stars": stars} for film in (50, 172)])
        for stars in (1, 5)
    }
    assert given[1].asked[0].stars < ask(model, **films).asked[0].stars < given[5].asked[0].stars


@pytest.mark.parametrize(
    ("fields", "said"),
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
def test_what_no_film_is_gets_refused(fields: dict, said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Viewer.model_validate(fields)


def test_without_ratings_the_prior_answers_and_many_override_it() -> None:
    rng = np.random.default_rng(0)
    prior, penalty, truth = rng.normal(size=3), np.array([1.0, 5.0, 5.0]), np.array([1.0, -2, 3])
    assert posterior(np.empty((0, 3)), np.empty(0), prior, penalty) == pytest.approx(prior)
    design = rng.normal(size=(50_000, 3))
    assert posterior(design, design @ truth, prior, penalty) == pytest.approx(truth, abs=1e-3)


def test_cosines_are_those_of_the_shared_entries() -> None:
    left, right = np.array([[1.0, 2.0, 0.0, -1.0]]), np.array([[2.0, 0.0, 3.0, 1.0]])
    wanted = (1 * 2 - 1 * 1) / np.sqrt((1 + 1) * (4 + 1)) * 2 / (2 + 20)
    assert cosine(left, right)[0, 0] == pytest.approx(wanted)


def test_neighbours_find_what_viewers_alike_liked() -> None:
    """Two camps with opposite tastes: half of a viewer's stars tell the other half."""
    rng = np.random.default_rng(0)
    taste = np.tile([1.0, -1.0], 100)[:, None] * np.where(np.arange(FILMS) % 2, 1, -1)
    stars = np.where(rng.random((200, FILMS)) < 0.1, 3 + taste, np.nan)
    rated = Rated(stars, np.zeros((200, 29)))
    shown = Rated(np.where(np.arange(FILMS) < FILMS // 2, stars, np.nan), rated.people)
    rest = Rated(np.where(np.arange(FILMS) < FILMS // 2, np.nan, stars), rated.people)
    films = np.ones((FILMS, 1))
    for answer in (
        user_based(rated, 10),
        item_based(rated, 10),
        factorized(rated, films, 2, 1.0, 8, 0),
    ):
        assert train.rmse(answer(shown), rest) < 0.5 < train.rmse(np.full_like(stars, 3.0), rest)


def test_precision_counts_liked_films_among_ten_not_sent() -> None:
    sent, then, order = (np.full((1, FILMS), np.nan) for _ in range(3))
    sent[0, 0], then[0, 1:4] = 5.0, [5.0, 4.0, 3.0]
    order[0] = -np.arange(FILMS)
    people = np.zeros((1, 29))
    found = precision(order, Rated(sent, people), Rated(then, people))
    assert found == pytest.approx(0.2)


def test_the_served_files_hold_no_viewer(model: Movies, tmp_path: Path) -> None:
    """Film by film and attribute by attribute: no array has a row a viewer."""
    shapes = {name: array.shape for name, array in model._arrays.items()}
    assert all(300 not in shape for shape in shapes.values()), shapes


def test_a_rating_names_its_film_once() -> None:
    with pytest.raises(ValidationError, match="one of the two"):
        Rating(film=1, title="Toy Story", stars=4)


def test_the_standard_error_of_the_rmse_resamples_viewers() -> None:
    """Viewers whose errors are all alike leave one error a viewer, however many ratings it has."""
    errors = np.random.default_rng(1).uniform(0.2, 1.8, 400)
    then = Rated(np.full((400, FILMS), 3.0), np.zeros((400, 29)))
    stars = then.stars + errors[:, None]
    found = train.rmse_error(stars, then, seed=0)
    wanted = (errors**2).std() / np.sqrt(400) / (2 * train.rmse(stars, then))
    assert found == pytest.approx(wanted, rel=0.15)
    assert list(train.learners(np.ones((FILMS, 1)), [16, 8], 1, 0))[-2:] == ["svd_8", "svd_16"]
