"""The typed paths of one model: predictions and explanations."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from services.predict.openapi import refusals
from services.predict.openapi.schemas import (
    BINARY,
    Components,
    Schema,
    form,
    media_fields,
    media_types,
    raw_types,
)
from services.predict.snapshot import Profile
from slipway.contract import Lookup
from slipway.explain import Explanation
from slipway.policy import CHALLENGER, CHAMPION

VARIANT = {"type": "string", "enum": [CHAMPION, CHALLENGER]}
EXAMPLE_ID = "01890a5d-ac96-774b-bcce-b302099a8057"


@dataclass(frozen=True)
class DescribedModel:
    """What the document needs to know of a served model."""

    name: str
    version: str
    profile: Profile
    examples: Sequence[dict[str, Any]]
    """Records with their predictions, as `{"input": ..., "output": ...}`."""


def paths(model: DescribedModel, components: Components) -> dict[str, Any]:
    """Return the model's paths; the schemas of its records become components."""
    profile = model.profile
    record = components.add_record(model.name, profile.input_name, profile.input_schema)
    if profile.looked_up:
        entity = components.add(f"{model.name}.Entity", _entity_record(profile.looked_up))
        record = {"anyOf": [record, entity]}
    found = {f"/v1/models/{model.name}/predict": {"post": _predict(model, record, components)}}
    if profile.explains:
        found[f"/v1/models/{model.name}/explain"] = {"post": _explain(model, record, components)}
    return found


def _predict(model: DescribedModel, record: Schema, components: Components) -> dict[str, Any]:
    profile = model.profile
    prediction = components.add_record(model.name, profile.output_name, profile.output_schema)
    variant = components.add("Variant", VARIANT)
    response = components.add(
        f"{model.name}.PredictResponse", _response(model, prediction, variant)
    )
    fields = {
        "id": EXAMPLE_ID,
        "model": model.name,
        "version": model.version,
        "variant": "champion",
    }
    content: dict[str, Any] = {"application/json": {"schema": response}}
    if model.examples:
        content["application/json"]["example"] = {
            **fields,
            "predictions": [model.examples[0]["output"]],
        }
    for field in media_fields(profile.output_schema).values():
        content |= {each: {"schema": BINARY} for each in media_types(field)}
    return {
        "tags": ["predict"],
        "operationId": f"predict_{model.name}",
        "summary": profile.question,
        "description": "One record, or a list of records; the predictions have the same order.",
        "requestBody": {
            "required": True,
            "content": {
                **_json_body(model, record),
                "multipart/form-data": {"schema": _form(model, components)},
                **{each: {"schema": BINARY} for each in raw_types(profile.input_schema)},
            },
        },
        "responses": {
            "200": {"description": "A prediction for every record", "content": content},
            **refusals.responses(*refusals.PREDICTION),
        },
    }


def _form(model: DescribedModel, components: Components) -> Schema:
    """Return the schema of a form that stands for one record."""
    profile = model.profile
    schema = form(profile.input_schema)
    if schema is None:
        return {"$ref": f"#/components/schemas/{model.name}.{profile.input_name}"}
    return components.add_record(model.name, f"{profile.input_name}Form", schema)


def _explain(model: DescribedModel, record: Schema, components: Components) -> dict[str, Any]:
    schema = Explanation.model_json_schema(mode="serialization")
    explanation = components.add_record("slipway", "Explanation", schema)
    response = {
        "type": "object",
        "required": ["model", "version", "explanations"],
        "properties": {
            "model": {"type": "string", "const": model.name},
            "version": {"type": "string"},
            "explanations": {"type": "array", "items": explanation},
        },
    }
    return {
        "tags": ["explain"],
        "operationId": f"explain_{model.name}",
        "summary": f"Explain: {model.profile.question}",
        "description": "Divide the champion's prediction among the fields of the record: "
        "Shapley values.",
        "requestBody": {"required": True, "content": _json_body(model, record)},
        "responses": {
            "200": {
                "description": "An explanation for every record",
                "content": {
                    "application/json": {
                        "schema": components.add(f"{model.name}.ExplainResponse", response)
                    }
                },
            },
            **refusals.responses(*refusals.PREDICTION),
        },
    }


def _json_body(model: DescribedModel, record: Schema) -> dict[str, Any]:
    """Return the content of a JSON body: a record or a list of records, with the examples."""
    content: dict[str, Any] = {
        "schema": {"oneOf": [record, {"type": "array", "items": record, "minItems": 1}]}
    }
    if model.examples:
        content["examples"] = {
            f"example {number}": {"value": example["input"]}
            for number, example in enumerate(model.examples, start=1)
        }
    return {"application/json": content}


def _response(model: DescribedModel, prediction: Schema, variant: Schema) -> Schema:
    return {
        "type": "object",
        "required": ["id", "model", "version", "variant", "predictions"],
        "properties": {
            "id": {"type": "string", "format": "uuid"},
            "model": {"type": "string", "const": model.name},
            "version": {"type": "string"},
            "variant": variant,
            "predictions": {"type": "array", "items": prediction},
        },
    }


def _entity_record(lookup: Lookup) -> Schema:
    """Return the schema of a record that names its entity; its other fields are looked up."""
    return {
        "type": "object",
        "required": [lookup.entity],
        "properties": {lookup.entity: {"type": ["string", "integer"]}},
        "description": "Fields that are not sent are looked up in the feature store",
    }
