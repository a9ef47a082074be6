"""Film retrieval: no leakage from the future, each stage by hand, and the simulation."""

import subprocess
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from pipelines.ml.film_retrieval import data, metrics, scale, towers, train
from pipelines.ml.film_retrieval.halves import Halves
from pipelines.ml.film_retrieval.model import (
    FILMS,
    FilmRetrieval,
    NewFilm,
    Past,
    Rating,
    Suggestions,
    Viewer,
    content,
    highest,
    kinds,
    rerank,
)
from slipway.datasets import Dataset, fetch
from slipway.training import LabelledRows

SHARE = 0.2
Splits = dict[str, list[tuple[Viewer, data.Label]]]


@pytest.fixture(scope="module")
def movielens() -> Dataset:
    return fetch("movielens_100k")


@pytest.fixture(scope="module")
def splits(movielens: Dataset) -> Splits:
    return {name: list(rows) for name, rows in data.splits(movielens, test_share=SHARE).items()}


@pytest.fixture(scope="module")
def model(splits: Splits, tmp_path_factory: pytest.TempPathFactory) -> FilmRetrieval:
    """Return a model trained quickly on 120 viewers."""
    weights = tmp_path_factory.mktemp("film_retrieval")
    kept = splits["train"][:120]
    train.fit(
        train=LabelledRows([viewer for viewer, _ in kept], [label for _, label in kept]),
        weights=weights,
        seed=1,
        validation_share=0.25,
        folds=2,
        ease_penalty=100.0,
        towers={"epochs": 3, "learning_rate": 0.01, "batch": 64},
        ranking={"epochs": 3, "learning_rate": 0.01, "batch": 32},
        hidden_units=8,
        hidden_films=0.1,
        relevances=[0.8],
    )
    made = FilmRetrieval()
    made.load(weights)
    return made


def ask(model: FilmRetrieval, **fields: object) -> Suggestions:
    return model.predict([Viewer.model_validate(fields)])[0]


def test_records_and_training_contain_nothing_of_the_future(
    movielens: Dataset, splits: Splits
) -> None:
    """A label is after its history, and the test is after the training."""
    frame = data.ratings_of(movielens)
    moment = frame["time"].iloc[int(len(frame) * (1 - SHARE))]
    histories = {
        frozenset(own["film"]): dict(zip(own["film"], own["time"], strict=True))
        for _, own in frame.groupby("viewer")
    }
    cold = 0
    for viewer, label in splits["test"]:
        sent = {each.film for each in viewer.history}
        own = histories[frozenset([*sent, *label["films"]])]
        times = [own[film] for film in label["films"]]
        assert min(times) >= moment
        assert max((own[film] for film in sent), default=0) < min(times)
        assert label["cold"] == (not sent)
        cold += label["cold"]
    assert cold > 100
    early = {frozenset(own["film"]) for _, own in frame[frame["time"] < moment].groupby("viewer")}
    learnt = {
        frozenset([*(each.film for each in viewer.history), *label["films"]])
        for viewer, label in splits["train"]
    }
    assert learnt == early


def test_the_correction_gives_the_loss_over_all_films() -> None:
    """It corrects draws by popularity, without which popular films would be penalized."""
    torch.manual_seed(0)
    tastes, films = torch.randn(1, 4), torch.randn(6, 4)
    shares = torch.tensor([0.5, 0.2, 0.1, 0.1, 0.05, 0.05])
    targets = torch.multinomial(shares.expand(1, -1), 40_000, replacement=True)
    liked = torch.zeros(1, 6, dtype=torch.bool)
    wanted = float(-(tastes @ films.T).log_softmax(dim=1)[0, targets[0]].mean())
    draws, often = np.log(40_000), float(shares.log()[targets[0]].mean())
    given = (tastes, films, targets, liked, shares)
    corrected = towers.softmax(*given, towers.Recipe("batch", temperature=1.0))
    assert float(corrected) - draws - often == pytest.approx(wanted, abs=0.02)
    plain = towers.softmax(*given, towers.Recipe("batch", logq=False, temperature=1.0))
    assert abs(float(plain) - draws - wanted) > 0.2


def test_films_held_out_have_directions_from_content_alone(splits: Splits) -> None:
    """The number of an unrated film does not change its direction."""
    halves = Halves.from_rows(LabelledRows(*map(list, zip(*splits["train"][:80], strict=True))))
    hidden = np.zeros(FILMS, dtype=bool)
    hidden[:200] = True
    described = content(
        [each["genres"] for each in train.describe_films()],
        [each["year"] for each in train.describe_films()],
    )
    made = towers.Towers(described, halves.about.shape[1], towers.Recipe())
    before = towers.catalogue(made, halves.rated, hidden)
    with torch.no_grad():
        made.films.numbers.weight.add_(1.0)
    after = towers.catalogue(made, halves.rated, hidden)
    assert (before.vectors[hidden] == after.vectors[hidden]).all()
    assert not before.known[hidden].any()
    assert not before.popularity[hidden].any()
    known = before.known > 0
    assert known.sum() > 500
    assert (before.vectors[known] != after.vectors[known]).any(axis=1).all()


def test_search_finds_the_nearest_without_seen_films() -> None:
    vectors = np.array([[1, 0], [0.8, 0.6], [0, 1], [-1, 0]], dtype=np.float32)
    taste = np.array([1, 0], dtype=np.float32)
    assert highest(vectors @ taste, np.array([], dtype=int), 3).tolist() == [0, 1, 2]
    assert highest(vectors @ taste, np.array([0]), 9).tolist() == [1, 2, 3]


def test_ease_gives_the_regression_that_leaves_the_film_itself_out() -> None:
    """Each film's weights are the ridge regression of it on all others."""
    rng = np.random.default_rng(0)
    stars = (rng.random((40, FILMS)) < 0.3) * 5.0
    stars[:, 12:] = 0
    weights = train.item_weights(towers.Rated(stars, np.zeros((40, 1))), 3.0)
    liked = (stars[:, :12] > 0).astype(float)
    for film in range(12):
        others = np.delete(np.arange(12), film)
        known = liked[:, others]
        ridge = np.linalg.solve(known.T @ known + 3.0 * np.eye(11), known.T @ liked[:, film])
        np.testing.assert_allclose(weights[others, film], ridge, atol=1e-9)
    assert not weights.diagonal().any()
    assert not weights[12:].any()


def test_films_are_as_similar_as_their_genres() -> None:
    directions = kinds(content([["Action", "War"], ["War"], ["Comedy"], []], [None] * 4))
    np.testing.assert_allclose((directions @ directions.T)[0], [1, 0.5**0.5, 0, 0], atol=1e-6)
    assert not directions[3].any()


def test_re_ranking_skips_a_duplicate() -> None:
    vectors = np.array([[1, 0], [1, 0], [0, 1]], dtype=np.float32)
    scores = np.array([3.0, 2.9, 2.0])
    assert rerank(scores, vectors, 3, 1.0).tolist() == [0, 1, 2]
    assert rerank(scores, vectors, 2, 0.5).tolist() == [0, 2]
    assert rerank(scores[:1], vectors[:1], 5, 0.5).tolist() == [0]


def test_metrics_by_hand() -> None:
    liked = np.zeros((1, FILMS), dtype=bool)
    liked[0, [3, 5]] = True
    values = metrics.retrieval_metrics([(np.array([5, 1, 2]), liked[0])])
    assert values["recall_at_100"] == pytest.approx(0.5)
    assert values["precision_at_10"] == pytest.approx(0.1)
    assert values["ndcg_at_10"] == pytest.approx(1 / (1 + 1 / np.log2(3)))


def test_the_mean_over_viewers_is_the_metric() -> None:
    liked = np.zeros(FILMS, dtype=bool)
    liked[[3, 5]] = True
    orders = [(np.array([5, 1, 2]), liked), (np.array([5, 3]), liked)]
    each = metrics.per_viewer(orders)
    assert each["recall_at_100"].tolist() == [0.5, 1.0]
    assert metrics.retrieval_metrics(orders)["recall_at_100"] == 0.75


def test_towers_are_tried_from_the_simplest() -> None:
    scalable = [name for name in train.RECIPES if name in train.SCALABLE]
    assert (
        tuple(scalable) == train.SCALABLE == ("towers_batch", "towers_batch_logq", "towers_mixed")
    )


def test_a_new_film_is_suggested_by_its_content(model: FilmRetrieval) -> None:
    """Fifty new films similar to what the viewer likes are sent, and some are retrieved."""
    new = [NewFilm(title=f"new {n}", year=1998, genres=["Sci-Fi"]) for n in range(50)]
    suggestions = ask(
        model, history=[{"film": 50, "stars": 5}], new_films=new, count=50, retrieved=100
    )
    assert {each.source for each in suggestions.suggested} <= {"taste", "content"}
    assert all((each.film is None) == (each.source == "content") for each in suggestions.suggested)
    places = [each.retrieved_at for each in suggestions.suggested]
    assert len(set(places)) == 50
    assert len(suggestions.retrieved) == 100
    catalogue = model.catalogue + model.stages.new_films(content([["Sci-Fi"]], [1998]))
    assert len(catalogue.vectors) == FILMS + 1
    assert catalogue.known[-1] == 0
    assert np.linalg.norm(catalogue.vectors[-1]) == pytest.approx(1, abs=1e-5)


def test_rated_films_are_not_suggested(model: FilmRetrieval) -> None:
    profile = ask(model, age=30, gender="F", count=10)
    assert {each.source for each in profile.suggested} == {"profile"}
    first = profile.suggested[0].film
    again = ask(model, age=30, gender="F", history=[{"film": first, "stars": 5}], retrieved=100)
    assert first not in {each.film for each in again.suggested}
    assert first not in again.retrieved
    assert again.history_used == 1


def test_a_film_is_rated_once() -> None:
    with pytest.raises(ValidationError, match="7 is rated twice"):
        Viewer(history=[Rating(film=7, stars=3)] * 2)


def test_a_rating_names_its_film_once() -> None:
    for sent in ({}, {"film": 7, "title": "Twelve Monkeys"}):
        with pytest.raises(ValidationError, match="send either title or film"):
            Rating.model_validate({**sent, "stars": 3})
    with pytest.raises(ValueError, match="'Alien' has no number yet"):
        _ = Rating(title="Alien", stars=5).place


@pytest.mark.parametrize(
    ("sent", "found"),
    [
        ("Princess Bride, The (1987)", "Princess Bride, The"),
        ("the princess bride", "Princess Bride, The"),
        ("SCHINDLER\u2019S LIST", "Schindler's List"),
        ("Shanghai Triad", "Shanghai Triad (Yao a yao yao dao waipo qiao)"),
        ("Star Wars (1978)", None),
        ("the", None),
    ],
)
def test_a_film_is_found_by_its_title(model: FilmRetrieval, sent: str, found: str | None) -> None:
    place = model.titles.find(sent)
    assert (place is None) if found is None else model.films[place or 0]["title"] == found


def test_every_film_is_found_by_its_title_and_year(model: FilmRetrieval) -> None:
    """MovieLens lists some films twice."""
    wrong = 0
    for place, film in enumerate(model.films):
        year = f" ({film['year']})" if film["year"] else ""
        found = model.titles.find(film["title"] + year)
        assert found is not None
        assert model.films[found]["title"] == film["title"]
        wrong += found != place
    assert wrong < 25


def test_ratings_by_title_and_by_number_are_equal(model: FilmRetrieval) -> None:
    titled = {"title": "Star Wars", "stars": 5}
    by_title, by_number = (
        ask(model, history=[each, {"film": 88, "stars": 2}])
        for each in (titled, {"film": 50, "stars": 5})
    )
    assert by_title == by_number
    assert by_title.ignored == []


def test_a_title_without_a_film_and_a_second_one_are_ignored_and_listed(
    model: FilmRetrieval,
) -> None:
    titles = ("Star Wars", "No Such Film", "star wars (1977)")
    found = ask(model, history=[{"title": each, "stars": 5} for each in titles])
    assert found.ignored == ["No Such Film", "star wars (1977)"]
    assert found.history_used == 1


def test_an_unknown_genre_is_named() -> None:
    with pytest.raises(ValidationError, match="unknown genre 'Space'; known: Action"):
        NewFilm(title="x", genres=["Space"])


@pytest.fixture(scope="module")
def pasts(splits: Splits) -> list[Past]:
    return [Past.from_viewer(viewer) for viewer, _ in splits["train"][:50] if viewer.history]


def test_the_simulation_runs_on_few_items(model: FilmRetrieval, pasts: list[Past]) -> None:
    lines: list[str] = []
    results = scale.measure(model, pasts, items=3_000, viewers=200, requests=20, log=lines.append)
    assert results["indexes"]["flat"]["searches"][0]["recall"] == 1
    assert results["indexes"]["hnsw"]["searches"][-1]["recall"] > 0.95
    assert results["indexes"]["ivf_pq"]["mib"] < results["indexes"]["flat"]["mib"]
    steps = set(results["request_ms"])
    assert {"read state", "viewer tower", "index", "rank", "re-rank", "write state"} < steps
    assert any("recall@100" in line for line in lines)


def test_the_next_request_knows_what_the_last_one_showed(
    model: FilmRetrieval, pasts: list[Past]
) -> None:
    rng = np.random.default_rng(0)
    world = scale.World.draw(model.catalogue, 3_000, rng)
    (_, flat, _, _), *_ = scale.build_indexes(world.catalogue.vectors)
    with scale.server() as client:
        viewers = scale.Viewers(client, np.stack([past.about for past in pasts]))
        viewers.fill(pasts, world, 60, rng)
        before = viewers.past(7)
        requests = scale.Requests(viewers, model.stages, world.catalogue, flat)
        shown, taken = requests.one(7)
        after = viewers.past(7)
        assert shown[0] in after.places
        assert len(after.places) == min(len(before.places) + 1, scale.RECENT)
        assert not set(shown) & set(before.places.tolist())
        assert shown[0] not in requests.one(7)[0]
        assert taken["whole request"] == pytest.approx(
            sum(taken.values()) - taken["whole request"], abs=1e-6
        )


def test_simulated_items_are_distributed_like_the_films(model: FilmRetrieval) -> None:
    world = scale.World.draw(model.catalogue, 5_000, np.random.default_rng(0))
    lengths = np.linalg.norm(world.catalogue.vectors, axis=1)
    assert lengths == pytest.approx(np.ones(5_000), abs=1e-4)
    films = np.arange(FILMS)
    drawn = world.like(films, np.random.default_rng(1))
    assert (world.catalogue.popularity[drawn] == model.catalogue.popularity).all()
    with pytest.raises(ValueError, match=f"at least {FILMS}"):
        scale.measure(model, [], items=10, viewers=1, requests=1)


def test_no_server_is_left_behind() -> None:
    with scale.server() as client:
        server: Any = client.info("server")
        number = server["process_id"]
    assert subprocess.run(["kill", "-0", str(number)], capture_output=True).returncode != 0


def test_the_served_files_hold_no_viewer(model: FilmRetrieval) -> None:
    shapes = [np.shape(each) for each in vars(model.catalogue).values()]
    assert all(shape[0] == FILMS for shape in shapes)
