"""The model server over small models: its routes, its gRPC methods, and valid requests."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from tritonclient.grpc import service_pb2

from services.predict import site_files
from slipway import home
from slipway.programs import browser_runtime
from tests.drills.fuzz import routes, tensors
from tests.drills.fuzz.knowledge import Knowledge
from tests.drills.fuzz.starting import started
from tests.drills.fuzz.target import Target, make_key
from tests.services.fake_models import shipped_of
from tests.small_models import SmallModels
from tests.waiting import until

MODELS = ("houses", "loans", "shapes", "dots", "readings")
# Bodies may hold so many bytes, also after decompression: what a request that stays would cost.
BODY_BYTES = 3_000_000
IGNORED = frozenset({"id", "version", "variant"})
SPELLING = '''
"""Spells a word, letter by letter."""

from collections.abc import Iterator
from pathlib import Path

from pydantic import Field

from slipway.contract import Record, StreamingModel, publish


class Word(Record):
    text: str = Field(min_length=1, max_length=50)


class Letter(Record):
    letter: str


class Spelled(Record):
    letters: int


class Spelling(StreamingModel):
    def load(self, weights: Path) -> None:
        pass

    def stream(self, record: Word) -> Iterator[Letter]:
        for each in record.text:
            yield Letter(letter=each)

    def join(self, record: Word, chunks: list[Letter]) -> Spelled:
        return Spelled(letters=len(chunks))


publish(Spelling())
'''


@contextmanager
def predict(folder: Path) -> Iterator[Target]:
    """Run the model server with two workers, gRPC, five small models and one that streams."""
    models = SmallModels(folder / "models", MODELS)
    models.add(
        "spelling",
        SPELLING,
        example={"input": {"text": "word"}, "output": {"letters": 4}},
    )
    second = shipped_of(models.works["loans"], folder / "challenger")
    models.register("loans", second, alias="challenger")
    key, grpc_port = make_key(models.home), home.free_port()
    given = {"workers": 2, "grpc_port": grpc_port, "body_bytes": BODY_BYTES, "slow_seconds": 5}
    names = [*MODELS, "spelling"]
    log = folder / "predict.log"
    with started("predict", models.variables(**given, upload_bytes=BODY_BYTES), log) as (
        client,
        process,
    ):
        until(lambda: client.get("/v1/ready").json().get("models") == len(names))
        examples = {name: client.get(f"/v1/models/{name}").json()["examples"] for name in names}
        found = {name: [each["input"] for each in rows] for name, rows in examples.items()}
        inputs = {name: client.get(f"/v2/models/{name}").json()["inputs"] for name in names}
        knowledge = Knowledge(
            {
                "name": names,
                "version": ["1", "2"],
                "variant": ["champion", "challenger", "shadow"],
                "site": ["x", site_files.fingerprint()],
                "{release}": ["try.js", "style.css"],
                "onnxruntime": [browser_runtime.VERSION],
                "file": ["swagger-ui.css"],
                "label": [{"granted": True}, {"price": 1.0}, {"label": "ring"}],
                "reward": [0.5],
                "row": [0],
                "shadow": [0.1],
                "challenger": [0.2],
            },
            found,
            {name: tensors.of_model(inputs[name], found[name][0]) for name in names},
            key,
        )

        def ordinary() -> Any:
            """Return every model's predictions for its examples."""
            responses = [client.post(f"/v1/models/{n}/predict", json=found[n]) for n in names]
            return [_without(each.json(), IGNORED) for each in responses]

        methods = service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods
        infer_first = sorted(methods, key=lambda method: method.name != "ModelInfer")
        yield Target(
            "predict",
            client,
            process,
            _predict_routes(client),
            knowledge,
            ordinary,
            parts=("services.predict.worker", "services.predict.registry_sync"),
            grpc_port=grpc_port,
            grpc_methods=tuple(
                f"/{each.containing_service.full_name}/{each.name}" for each in infer_first
            ),
            records=models.home / "predictions",
        )


def _without(value: dict[str, Any], names: frozenset[str]) -> dict[str, Any]:
    return {key: each for key, each in value.items() if key not in names}


def _predict_routes(client: httpx.Client) -> list[routes.Route]:
    from services.predict.app import create_app

    own = routes.of_application(create_app().rest.routes)
    return routes.merged(own, routes.of_document(client.get("/openapi.json").json()))
