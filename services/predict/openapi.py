"""The OpenAPI document: a typed path for every model that is served now."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from services.predict.fleet import Served

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
    "413": "The body is too large",
    "415": "The content type is neither JSON nor multipart",
    "422": "A field is missing, unknown or out of range",
    "503": "The model is not loaded now",
}


def document(app: FastAPI, served: list[Served]) -> dict[str, Any]:
    """The application's own routes, and one prediction path a model with its examples."""
    whole = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes
    )
    components = whole.setdefault("components", {}).setdefault("schemas", {})
    components["Problem"] = PROBLEM
    whole["paths"].pop("/v1/models/{name}/predict", None)
    for each in served:
        whole["paths"][f"/v1/models/{each.name}/predict"] = {"post": _operation(each, components)}
    return whole


def _operation(served: Served, components: dict[str, Any]) -> dict[str, Any]:
    sent = _component(served.name, served.model.input_type(), "validation", components)
    told = _component(served.name, served.model.output_type(), "serialization", components)
    question = served.card.split("**")[1] if "**" in served.card else served.name
    first = served.examples[0]
    answer = {
        "type": "object",
        "required": ["id", "model", "version", "predictions"],
        "properties": {
            "id": {"type": "string", "format": "uuid"},
            "model": {"type": "string", "const": served.name},
            "version": {"type": "string"},
            "predictions": {"type": "array", "items": told},
        },
    }
    shown = {"model": served.name, "version": served.version, "predictions": [first["output"]]}
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
        "summary": question,
        "description": "One record, or a list of them; the answers keep their order.",
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": {"oneOf": [sent, {"type": "array", "items": sent, "minItems": 1}]},
                    "examples": {
                        f"example {number}": {"value": example["input"]}
                        for number, example in enumerate(served.examples, start=1)
                    },
                },
                "multipart/form-data": {"schema": sent},
            },
        },
        "responses": {
            "200": {
                "description": "An answer for every record",
                "content": {
                    "application/json": {
                        "schema": answer,
                        "example": {"id": "01890a5d-ac96-774b-bcce-b302099a8057", **shown},
                    }
                },
            },
            **refusals,
        },
    }


def _component(project: str, record: Any, mode: str, components: dict[str, Any]) -> dict[str, str]:
    """Put a record's schema among the components, under its project's name."""
    prefix = f"#/components/schemas/{project}."
    schema = record.model_json_schema(mode=mode, ref_template=prefix + "{model}")
    for name, nested in schema.pop("$defs", {}).items():
        components[f"{project}.{name}"] = nested
    components[f"{project}.{record.__name__}"] = schema
    return {"$ref": f"{prefix}{record.__name__}"}
