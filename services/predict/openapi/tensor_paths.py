"""The inference paths of the Open Inference Protocol, which FastAPI does not route."""

from typing import Any

from services.predict.openapi.schemas import Components, Schema

TAG = "open inference protocol"
PREFIX = "v2"
NAME = {"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}
VERSION = {"name": "version", "in": "path", "required": True, "schema": {"type": "string"}}

PARAMETERS: Schema = {"type": "object", "additionalProperties": True}
TENSOR = {
    "type": "object",
    "required": ["name", "shape", "datatype"],
    "properties": {
        "name": {"type": "string", "description": "A field of the record"},
        "shape": {"type": "array", "items": {"type": "integer", "minimum": 0}},
        "datatype": {"type": "string", "description": "BOOL, INT64, FP64, BYTES, ..."},
        "parameters": PARAMETERS,
        "data": {"type": "array", "items": {}, "description": "The values, by rows"},
    },
}
REQUESTED = {
    "type": "object",
    "required": ["name"],
    "properties": {"name": {"type": "string"}, "parameters": PARAMETERS},
}
ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {"error": {"type": "string"}},
}
STATUSES = {
    "400": "The request is malformed",
    "401": "An API key is needed",
    "403": "The key does not have the scope",
    "404": "There is no such model or version",
    "413": "The body is too large",
    "422": "A tensor does not fit the model",
    "429": "The key's rate is exceeded",
    "500": "The model failed",
    "503": "The model is not loaded now, or too many requests wait for it",
    "504": "The model took too long",
}


def paths(components: Components) -> dict[str, Any]:
    """Return the two paths; their schemas become components."""
    tensor = components.add("Tensor", TENSOR)
    requested = components.add("RequestedOutput", REQUESTED)
    error = components.add("InferenceError", ERROR)
    request = components.add(
        "InferenceRequest",
        {
            "type": "object",
            "required": ["inputs"],
            "properties": {
                "id": {"type": "string"},
                "parameters": PARAMETERS,
                "inputs": {"type": "array", "items": tensor},
                "outputs": {"type": "array", "items": requested},
            },
        },
    )
    response = components.add(
        "InferenceResponse",
        {
            "type": "object",
            "required": ["model_name", "model_version", "outputs"],
            "properties": {
                "id": {"type": "string"},
                "model_name": {"type": "string"},
                "model_version": {"type": "string"},
                "parameters": PARAMETERS,
                "outputs": {"type": "array", "items": tensor},
            },
        },
    )
    place, operation = "/v2/models/{name}", _operation(request, response, error)
    return {
        f"{place}/infer": {"post": {"operationId": "v2_infer", "parameters": [NAME], **operation}},
        f"{place}/versions/{{version}}/infer": {
            "post": {
                "operationId": "v2_infer_of_version",
                "parameters": [NAME, VERSION],
                **operation,
            }
        },
    }


def _operation(request: Schema, response: Schema, error: Schema) -> dict[str, Any]:
    return {
        "tags": [TAG],
        "summary": "Predict from tensors, a field each",
        "description": "As JSON. The server also takes and returns binary tensors, after a JSON "
        "header whose length is in the header Inference-Header-Content-Length.",
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": request}},
        },
        "responses": {
            "200": {
                "description": "The model's tensors",
                "content": {"application/json": {"schema": response}},
            },
            **{
                status: {
                    "description": text,
                    "content": {"application/json": {"schema": error}},
                }
                for status, text in STATUSES.items()
            },
        },
    }
