"""Builds the OpenAPI document, with a typed path for every model that is served now."""

import json
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from services.predict.model_store import ServedProject
from slipway.contract import Lookup
from slipway.contract.shipped import Shipped

PROBLEM = {
    "type": "object",
    "required": ["title", "status", "detail"],
    "properties": {
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"field": {"type": "string"}, "message": {"type": "string"}},
            },
        },
    },
}
REFUSALS = {
    "400": "The body is not JSON",
    "401": "An API key is needed",
    "413": "The body is too large",
    "415": "The content type is neither JSON nor multipart",
    "422": "A field is missing, unknown or out of range",
    "429": "The key's rate is exceeded",
    "503": "The model is not loaded now, or too many requests wait for it",
    "504": "The model took too long",
}


def document(app: FastAPI, projects: list[ServedProject]) -> dict[str, Any]:
    """Return the application's own routes, and one typed prediction path for each project."""
    content = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes
    )
    components = content.setdefault("components", {}).setdefault("schemas", {})
    components["Problem"] = PROBLEM
    for each in projects:
        content["paths"][f"/v1/models/{each.name}/predict"] = {"post": _operation(each, components)}
    return content


def _operation(served: ServedProject, components: dict[str, Any]) -> dict[str, Any]:
    version = served.champion.version
    profile, examples = version.profile, Shipped(version.folder).examples
    input_ref = _component(served.name, profile.input_name, profile.input_schema, components)
    output_ref = _component(served.name, profile.output_name, profile.output_schema, components)
    record = (
        {"anyOf": [input_ref, _entity_record(profile.looked_up)]}
        if profile.looked_up
        else input_ref
    )
    first = examples[0]
    response = {
        "type": "object",
        "required": ["id", "model", "version", "variant", "predictions"],
        "properties": {
            "id": {"type": "string", "format": "uuid"},
            "model": {"type": "string", "const": served.name},
            "version": {"type": "string"},
            "variant": {"type": "string", "enum": ["champion", "challenger"]},
            "predictions": {"type": "array", "items": output_ref},
        },
    }
    example_fields = {
        "model": served.name,
        "version": version.version,
        "variant": "champion",
        "predictions": [first["output"]],
    }
    refusals = {
        status: {
            "description": text,
            "content": {
                "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}
            },
        }
        for status, text in REFUSALS.items()
    }
    return {
        "tags": ["predict"],
        "operationId": f"predict_{served.name}",
        "summary": profile.question,
        "description": "One record, or a list of records; the predictions have the same order.",
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": {
                        "oneOf": [record, {"type": "array", "items": record, "minItems": 1}]
                    },
                    "examples": {
                        f"example {number}": {"value": example["input"]}
                        for number, example in enumerate(examples, start=1)
                    },
                },
                "multipart/form-data": {"schema": input_ref},
            },
        },
        "responses": {
            "200": {
                "description": "A prediction for every record",
                "content": {
                    "application/json": {
                        "schema": response,
                        "example": {"id": "01890a5d-ac96-774b-bcce-b302099a8057", **example_fields},
                    }
                },
            },
            **refusals,
        },
    }


def _entity_record(lookup: Lookup) -> dict[str, Any]:
    """Return the schema of a record that names its entity; its other fields are looked up."""
    return {
        "type": "object",
        "required": [lookup.entity],
        "properties": {lookup.entity: {"type": ["string", "integer"]}},
        "description": "Fields that are not sent are looked up in the feature store",
    }


def _component(
    project: str, record: str, schema: dict[str, Any], components: dict[str, Any]
) -> dict[str, str]:
    """Add a record's schema to the components, under its project's name; return its reference."""
    prefix = f"#/components/schemas/{project}."
    own = json.loads(json.dumps(schema).replace("#/$defs/", prefix))
    for name, nested in own.pop("$defs", {}).items():
        components[f"{project}.{name}"] = nested
    components[f"{project}.{record}"] = own
    return {"$ref": f"{prefix}{record}"}
