"""A toy project of a shop: its model, reference rows, and traffic in a real prediction log."""

import gzip
import json
import math
import random
import time
from pathlib import Path
from typing import Any

from slipway.contract.shipped import Shipped
from slipway.predictions import ids
from slipway.predictions.feedback_store import FeedbackStore
from slipway.predictions.record import line
from slipway.registry import reference, signatures
from slipway.registry.digest import digest
from tests.services.fake_models import ModelRegistryFixture

NAME = "shop"
CODE = '''
"""Will this visitor buy?"""

import math

from pydantic import Field

from slipway.contract import Model, Record, publish

USUAL = "basic"


class Visitor(Record):
    age: float | None = Field(default=None, ge=0, le=120)
    visits: int = Field(ge=0)
    country: str
    plan: str = Field(default=USUAL)
    remark: str = ""


class Purchase(Record):
    bought: bool
    probability: float


class PurchaseModel(Model):
    explained = "probability"
    protected = ("country",)

    def predict(self, model_input: list[Visitor]) -> list[Purchase]:
        chances = [1 / (1 + math.exp((40 - (each.age or 40)) / 8)) for each in model_input]
        return [Purchase(bought=chance >= 0.5, probability=chance) for chance in chances]


publish(PurchaseModel())
'''
WORDS = "please send it soon and wrapped as a present for my friend in the north".split()


def visitor(rng: random.Random) -> dict[str, Any]:
    """Return a validated record, with every field."""
    return {
        "age": None if rng.random() < 0.1 else round(rng.gauss(40, 12), 1),
        "visits": min(int(rng.expovariate(0.4)), 12),
        "country": rng.choices(["de", "fr", "it", "es"], [5, 3, 2, 1])[0],
        "plan": rng.choices(["basic", "gold"], [8, 2])[0],
        "remark": " ".join(rng.choices(WORDS, k=rng.randint(3, 25))),
    }


def predicted(record: dict[str, Any]) -> dict[str, Any]:
    """Return the model's prediction for a record."""
    chance = 1 / (1 + math.exp((40 - (record["age"] or 40)) / 8))
    return {"bought": chance >= 0.5, "probability": chance}


def drawn_label(prediction: dict[str, Any], rng: random.Random, *, right: float = 0.85) -> bool:
    """Return a label that agrees with the prediction with probability `right`."""
    return prediction["bought"] if rng.random() < right else not prediction["bought"]


def reference_rows(rows: int, *, seed: int = 1) -> list[dict[str, Any]]:
    """Return test rows with predictions and labels."""
    rng = random.Random(seed)
    found = []
    for _ in range(rows):
        record = visitor(rng)
        prediction = predicted(record)
        label = drawn_label(prediction, rng)
        found.append({"record": record, "prediction": prediction, "label": label})
    return found


def traffic(rows: int, *, seed: int, **changed: Any) -> list[dict[str, Any]]:
    """Return records; `age=lambda record, rng: ...` changes a field of each."""
    rng = random.Random(seed)
    found = []
    for _ in range(rows):
        record = visitor(rng)
        for name, change in changed.items():
            record[name] = change(record, rng)
        found.append(record)
    return found


def write_segment(
    folder: Path,
    records: list[dict[str, Any]],
    *,
    segment: int,
    at: float | None = None,
    seconds: float = 1.0,
    version: str = "1",
    project: str = NAME,
    variant: str = "champion",
) -> list[str]:
    """Write a closed segment of the log and return the ids of its records.

    The records are spread over `seconds` up to Unix time `at`. The segment is written directly,
    since the log itself can only write records of now.
    """
    folder.mkdir(parents=True, exist_ok=True)
    end = time.time() if at is None else at
    record_ids, lines, offset = [], [], 0
    for number, record in enumerate(records):
        moment = end - seconds * (1 - (number + 1) / len(records))
        id = ids.compose(
            milliseconds=int(moment * 1000),
            count=number % ids.COUNTS,
            segment=segment,
            offset=offset,
        )
        text = line(
            id=id,
            project=project,
            version=version,
            digest="ab" * 32,
            variant=variant,
            inputs=json.dumps(record).encode(),
            outputs=json.dumps(predicted(record)).encode(),
            seconds=0.001,
        )
        record_ids.append(id)
        lines.append(text)
        offset += len(text)
    (folder / f"{segment:08x}.jsonl").write_bytes(b"".join(lines))
    return record_ids


def attach(
    folder: Path, ids_and_records: list[tuple[str, dict[str, Any]]], *, right: float
) -> None:
    """Attach labels, of which the share `right` agrees with the prediction."""
    rng, store = random.Random(7), FeedbackStore(folder)
    for id, record in ids_and_records:
        store.attach(id=id, label={"bought": drawn_label(predicted(record), rng, right=right)})
    store.close()


def register(
    fake_models: ModelRegistryFixture,
    rows: list[dict[str, Any]],
    *,
    name: str = NAME,
    code: str = CODE,
    example: dict[str, Any] | None = None,
) -> str:
    """Register a champion with a reference in its run, as `slipway.registry` does; its version."""
    from mlflow.exceptions import MlflowException

    folder = fake_models.folder / "versions" / f"{name}-{time.monotonic_ns()}"
    shipped = Shipped(folder)
    for place in (shipped.weights, shipped.about):
        place.mkdir(parents=True)
    shipped.code.write_text(code)
    (shipped.about / "card.md").write_text(f"# {name}\n\n**Is it?**\n")
    (shipped.about / "metrics.json").write_text('{"metrics": {"accuracy": 0.85}}')
    if example is None:
        example = {"input": visitor(random.Random(0)), "output": {}}
        example["output"] = predicted(example["input"])
    (shipped.about / "examples.json").write_text(json.dumps([example]))
    registry = fake_models.client
    try:
        registry.create_registered_model(name)
        place = registry.create_experiment(
            name, artifact_location=(fake_models.folder / name).as_uri()
        )
    except MlflowException:  # another version exists
        place = registry.get_experiment_by_name(name).experiment_id
    run = registry.create_run(place).info.run_id
    found = digest(shipped.parts)
    tags = {"digest": found, signatures.TAG: signatures.sign(name, found)}
    if rows:
        file = fake_models.folder / "reference.jsonl.gz"
        text = "".join(f"{json.dumps(row)}\n" for row in rows)
        file.write_bytes(gzip.compress(text.encode()))
        registry.log_artifact(run, str(file), str(Path(reference.FILE).parent))
        tags[reference.TAG] = str(len(rows))
    version = registry.create_model_version(name, str(folder), run_id=run, tags=tags)
    registry.set_registered_model_alias(name, "champion", version.version)
    return str(version.version)
