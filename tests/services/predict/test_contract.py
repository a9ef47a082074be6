"""The check of record types finds models that break their own schema."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.services.fake_models import ModelRegistryFixture, Server, code, echo
from tests.services.predict.contract import hold_the_record_types, refuse_wrong_fields
from tests.waiting import until

# The server tries the documented example before it serves a model, so each is sound for that.
SOUND = echo("sound")
# Some valid records raise.
FAILING = code(
    """
    assert all(each.who is None for each in model_input)
    return [Answer(number=1, model='failing') for each in model_input]
    """
)
# Any value is accepted, where the document allows a text or null.
LENIENT = (
    code("return [Answer(number=1, model='lenient') for each in model_input]")
    .replace("import Field", "import Field, WithJsonSchema")
    .replace("from pydantic", "from typing import Annotated, Any\n\nfrom pydantic")
    .replace("who: str | None", "who: Annotated[Any, WithJsonSchema({'type': ['string', 'null']})]")
)
# A documented number is left out of the prediction.
INCOMPLETE = code("return [Answer.model_construct(model='incomplete') for each in model_input]")
MODELS = {"sound": SOUND, "failing": FAILING, "lenient": LENIENT, "incomplete": INCOMPLETE}


@pytest.fixture(scope="module")
def planted(own_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with a sound model, and with others that break their schema in one way each."""
    registry = ModelRegistryFixture(tmp_path_factory.mktemp("planted"))
    for name, model in MODELS.items():
        registry.add(name, model)
    with registry.serving() as server:
        until(
            lambda: all(is_served(server, name) for name in MODELS),
            lambda: server.client.get("/v1/models").text,
        )
        yield server


def is_served(server: Server, name: str) -> bool:
    return server.client.get(f"/v1/models/{name}").status_code == 200


def test_a_sound_model_passes(planted: Server) -> None:
    hold_the_record_types(planted.client, "sound")
    refuse_wrong_fields(planted.client, "sound")


@pytest.mark.parametrize(
    ("name", "finding"),
    [("failing", "Server error"), ("incomplete", "Response violates schema")],
)
def test_a_wrong_response_to_a_valid_record_is_found(
    planted: Server, name: str, finding: str
) -> None:
    with pytest.raises(BaseExceptionGroup, match=finding):
        hold_the_record_types(planted.client, name)


def test_an_accepted_invalid_record_is_found(planted: Server) -> None:
    with pytest.raises(AssertionError, match="'who', {'number': 1.0, 'who': 0.5}"):
        refuse_wrong_fields(planted.client, "lenient")
