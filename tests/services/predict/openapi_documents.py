"""OpenAPI documents of the model server, made without running it."""

import json
from typing import Any

from services.predict.app import create_app
from services.predict.openapi import DescribedModel, document
from services.predict.snapshot import Profile
from slipway.project import Project


def profile(record: dict[str, Any], prediction: dict[str, Any], **more: Any) -> Profile:
    """Return a profile with these schemas."""
    fields: dict[str, Any] = {
        **dict.fromkeys(("load_seconds", "bytes", "validate_seconds", "one_seconds"), 0),
        "batch_seconds": 0,
        "question": "Is it?",
        "explains": False,
        "input_name": "Question",
        "output_name": "Answer",
        "input_schema": record,
        "output_schema": prediction,
    }
    return Profile(**{**fields, **more})


def described(project: Project) -> DescribedModel:
    """Return the project as a server that serves it describes it."""
    model = project.model()
    record, prediction = model.input_type(), model.output_type()
    own = profile(
        record.model_json_schema(),
        prediction.model_json_schema(mode="serialization"),
        input_name=record.__name__,
        output_name=prediction.__name__,
        explains=bool(model.explained),
        looked_up=model.looked_up,
    )
    examples = json.loads((project.folder / "examples.json").read_text())
    return DescribedModel(project.name, "1", own, examples)


def build(*models: DescribedModel, keys_required: bool = False) -> dict[str, Any]:
    """Return the document of a server that serves these models."""
    return document(create_app().rest, models, keys_required=keys_required)
