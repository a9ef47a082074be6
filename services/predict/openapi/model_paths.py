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
from slipway.contract import Lookup, Record
from slipway.explain import Explanation
from slipway.explain.pictures import PictureExplanation
from slipway.explain.texts import TextExplanation
from slipway.explain.ways import Way
from slipway.policy import CHALLENGER, CHAMPION

VARIANT = {"type": "string", "enum": [CHAMPION, CHALLENGER]}
DESCRIPTION = (
    "One record, or a list of records, whose predictions come in the same order. A form with the "
    "record's fields is accepted as well, with files for media such as pictures."
)
PREFER_HEADER = {
    "name": "Prefer",
    "in": "header",
    "required": False,
    "schema": {"type": "string"},
    "description": "`respond-async`: return at once, and keep the response for 15 minutes",
}
EVENTS = "text/event-stream"
STREAM = (
    "Server-sent events: `chunk` with each piece as JSON, at last `prediction` with the ordinary "
    "response, or `error` with problem details"
)
RUNNING = {
    "type": "object",
    "required": ["id", "state", "url"],
    "properties": {
        "id": {"type": "string", "format": "uuid"},
        "state": {"type": "string"},
        "url": {"type": "string", "description": "GET it for the response, DELETE it to cancel"},
    },
}
PNG = "image/png"
HEAT_MAP = "The picture in grey; blue cells raise the number, orange ones lower it"
EXPLANATIONS: dict[Way, tuple[type[Record], str]] = {
    Way.FIELDS: (Explanation, "the fields of the record"),
    Way.PICTURE: (PictureExplanation, "the cells of the picture"),
    Way.WORDS: (TextExplanation, "the words of the text"),
}
# The server takes image/png and so on as well; generators know only this type of whole files.
RAW = "application/octet-stream"
KEY_HEADER = {
    "name": "Slipway-Key",
    "in": "header",
    "required": False,
    "schema": {"type": "string"},
    "description": "In an A/B test: the same key always gets the same version",
}
EXAMPLE_ID = "01890a5d-ac96-774b-bcce-b302099a8057"


@dataclass(frozen=True)
class DescribedModel:
    """The facts about a served model that the document shows."""

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
    if profile.streams and profile.chunk_schema and profile.chunk_name:
        chunk = components.add_record(model.name, profile.chunk_name, profile.chunk_schema)
        content[EVENTS] = {"schema": {"type": "string", "description": STREAM}, "x-chunk": chunk}
    for field in media_fields(profile.output_schema).values():
        content |= {each: {"schema": BINARY} for each in media_types(field)}
    return {
        "tags": ["predict"],
        "operationId": f"predict_{model.name}",
        "summary": profile.question,
        "description": DESCRIPTION,
        "parameters": [KEY_HEADER, PREFER_HEADER],
        "requestBody": {"required": True, "content": _body(model, record, components)},
        "responses": {
            "200": {"description": "A prediction for every record", "content": content},
            "202": _accepted(components),
            **refusals.responses(*refusals.PREDICTION),
        },
    }


def _accepted(components: Components) -> dict[str, Any]:
    """Return the response to a caller who prefers to fetch the prediction later."""
    return {
        "description": "With `Prefer: respond-async`: the prediction runs",
        "headers": {"Location": {"schema": {"type": "string"}}},
        "content": {"application/json": {"schema": components.add("RunningPrediction", RUNNING)}},
    }


def _body(model: DescribedModel, record: Schema, components: Components) -> dict[str, Any]:
    """Return the contents that a request for predictions may have.

    Where several content types are documented, generated clients can tell their bodies apart only
    if each has a type of its own: so a form is documented only where it differs from the record,
    and a list of records only where there is no form. The server accepts both everywhere.
    """
    profile = model.profile
    fields = form(profile.input_schema)
    if fields is None:
        return _json_body(model, {"oneOf": [record, _list_of(record)]})
    files = components.add_record(model.name, f"{profile.input_name}Form", fields)
    return {
        **_json_body(model, record),
        "multipart/form-data": {"schema": files},
        **({RAW: {"schema": BINARY}} if raw_types(profile.input_schema) else {}),
    }


def _explain(model: DescribedModel, record: Schema, components: Components) -> dict[str, Any]:
    way = model.profile.explained_by or Way.FIELDS
    kind, parts = EXPLANATIONS[way]
    schema = kind.model_json_schema(mode="serialization")
    explanation = components.add_record("slipway", kind.__name__, schema)
    response = {
        "type": "object",
        "required": ["model", "version", "explanations"],
        "properties": {
            "model": {"type": "string", "const": model.name},
            "version": {"type": "string"},
            "explanations": {"type": "array", "items": explanation},
        },
    }
    # Not the other bodies that the server accepts: openapi-python-client forgets an import where an
    # operation has several bodies and no optional parameter.
    body = {"application/json": _body(model, record, components)["application/json"]}
    named = components.add(f"{model.name}.ExplainResponse", response)
    content: dict[str, Any] = {"application/json": {"schema": named}}
    if way is Way.PICTURE:
        content[PNG] = {"schema": {**BINARY, "description": HEAT_MAP}}
    return {
        "tags": ["explain"],
        "operationId": f"explain_{model.name}",
        "summary": f"Explain: {model.profile.question}",
        "description": f"Divide the champion's prediction among {parts}: Shapley values. The body "
        "may also be a form or raw media, as for predictions.",
        "requestBody": {"required": True, "content": body},
        "responses": {
            "200": {"description": "An explanation for every record", "content": content},
            **refusals.responses(*refusals.PREDICTION),
        },
    }


def _json_body(model: DescribedModel, schema: Schema) -> dict[str, Any]:
    """Return the content of a JSON body, with the examples."""
    content: dict[str, Any] = {"schema": schema}
    if model.examples:
        content["examples"] = {
            f"example {number}": {"value": example["input"]}
            for number, example in enumerate(model.examples, start=1)
        }
    return {"application/json": content}


def _list_of(record: Schema) -> Schema:
    return {"type": "array", "items": record, "minItems": 1}


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
