"""The dashboard's pages of pictures and texts, and its one choice of rows with the model server."""

from collections.abc import Iterator

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from services.explain import importance, parts
from services.explain.subject import catalogue, load
from slipway.explain.pictures import PictureExplanation
from slipway.explain.ways import Way
from slipway.media import encode_png
from tests.services.explain import dashboard
from tests.services.explain.dashboard import UNHURRIED, open_every_page
from tests.services.explained_models import add_explained_models
from tests.services.fake_models import ModelRegistryFixture
from tests.small_models import SmallModels

# The change of these files runs the tests; see tests/by_change.py.
CONCERNS = ("services/explain/*", "slipway/explain/*")

NAMES = ("finder", "lamp", "mail")


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelRegistryFixture]:
    """A registry with the explained models, used by this process."""
    registry = ModelRegistryFixture(tmp_path_factory.mktemp("explained"))
    add_explained_models(registry)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLIPWAY_HOME", str(registry.home))
        patch.setenv("MLFLOW_TRACKING_URI", registry.uri)
        patch.setattr(parts, "SECONDS", UNHURRIED)
        yield registry


def opened(name: str, title: str) -> AppTest:
    page = dashboard.opened(name)
    page.sidebar.radio(key="page").set_value(title).run()
    assert not page.exception, page.exception
    return page


@pytest.mark.parametrize("name", [*NAMES, "mirror"])
def test_every_page_opens(
    registry: ModelRegistryFixture, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert open_every_page(name, monkeypatch) == (name != "mirror")


def test_a_picture_is_shown_with_its_heat_map(registry: ModelRegistryFixture) -> None:
    page = opened("lamp", "One prediction")
    assert page.subheader[0].value.startswith("The probability of on for this record is 100 %;")
    assert "The cell in row 3 of 7, column 5 of 7, raises the probability by" in (
        page.markdown[0].value
    )

    assert len(page.get("image")) == 2
    [table] = [each.value.to_numpy() for each in page.dataframe]
    assert table.shape == (7, 7)
    assert np.argmax(table) == 2 * 7 + 4


def test_what_matters_is_drawn_over_the_examples(registry: ModelRegistryFixture) -> None:
    page = opened("lamp", "What matters")
    [table] = [each.value.to_numpy() for each in page.dataframe]
    assert np.argmax(table) == 2 * 7 + 4
    assert not page.warning


def test_words_are_colored_by_what_they_do(registry: ModelRegistryFixture) -> None:
    page = opened("mail", "One prediction")
    [html] = [each.proto.body for each in page.get("html")]
    assert '" title="+0.2500">Free</span>' in html
    assert '" title="-0.1250">sorry</span>' in html
    page.text_area[0].set_value("<script>alert(1)</script>")
    [submit] = [each for each in page.button if each.label == "Explain"]
    submit.click().run()
    [html] = [each.proto.body for each in page.get("html")]
    assert "<script>" not in html
    assert "&lt;" in html


def test_the_dashboard_and_the_server_explain_alike(registry: ModelRegistryFixture) -> None:
    subject = load("lamp", catalogue()["lamp"][0])
    own = parts.picture_explanation(subject.model, subject.example_records()[0])
    with registry.serving() as running:
        response = running.client.post("/v1/models/lamp/explain", json=subject.examples[0]["input"])
        served = PictureExplanation.model_validate(response.json()["explanations"][0])
    # A busy machine makes fewer predictions, which here changes the last digit at most.
    assert np.array(served.cells) == pytest.approx(np.array(own.cells), abs=1e-9)
    assert (served.value, served.base) == (own.value, own.base)


def test_mean_cells_ignore_coarser_grids(registry: ModelRegistryFixture) -> None:
    subject = load("lamp", catalogue()["lamp"][0])
    [record] = subject.example_records()
    fine = parts.picture_explanation(subject.model, record)
    small = record.model_copy(update={"image": encode_png(np.eye(3, dtype=np.uint8))})
    coarse = parts.picture_explanation(subject.model, small)
    assert np.array(coarse.cells).shape == (3, 3)
    assert parts.mean_cells([coarse, fine]) == pytest.approx(np.abs(fine.cells))


def test_words_of_several_texts_are_averaged(registry: ModelRegistryFixture) -> None:
    subject = load("mail", catalogue()["mail"][0])
    kind = subject.model.input_type()
    texts = [("free beer", "now"), ("Free", "sorry"), ("lonely", "")]
    found = [
        parts.text_explanation(subject.model, kind(subject=one, body=other)) for one, other in texts
    ]
    assert parts.word_means(found, count=5) == [("free", pytest.approx(0.25), 2)]


def test_fields_are_compared_with_the_rows_of_the_server(
    small_registry: SmallModels,
) -> None:
    version = catalogue()["loans"][0]
    subject = load("loans", version)
    assert subject.way is Way.FIELDS
    record = subject.records(1)[0]
    own = importance.shapley_of(subject.model, "probability", subject.background).explain(record)
    with small_registry.serving() as running:
        response = running.client.post(
            "/v1/models/loans/explain", json=record.model_dump(mode="json")
        )
    (served,) = response.json()["explanations"]
    assert served == own.model_dump()
