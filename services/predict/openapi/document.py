"""Assembles the document from FastAPI's routes and the paths of the served models."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from services.predict.openapi import model_paths, refusals, security, tensor_paths
from services.predict.openapi.model_paths import DescribedModel
from services.predict.openapi.schemas import Components

# FastAPI's own description of invalid input; the server sends problem details.
VALIDATION = ("HTTPValidationError", "ValidationError")
# The typed path of each model takes the place of this one.
REPLACED = "/v1/models/{name}/explain"


def document(
    app: FastAPI, models: Iterable[DescribedModel], *, keys_required: bool
) -> dict[str, Any]:
    """Return the OpenAPI document.

    Args:
        app: the application with the routes beside those of the models.
        models: the models that are served now.
        keys_required: whether requests for predictions need an API key here.
    """
    content = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes
    )
    components = Components(content.setdefault("components", {}))
    paths: dict[str, Any] = content["paths"]
    paths.pop(REPLACED, None)
    _name_operations(paths, [each for each in app.routes if isinstance(each, APIRoute)])
    for path, operations in paths.items():
        for operation in operations.values():
            _strip_titles(operation)
            _fill_path_parameters(operation)
            refusals.describe(path, operation)
    paths.update(tensor_paths.paths(components))
    for model in models:
        paths.update(model_paths.paths(model, components))
    for path, operations in paths.items():
        for operation in operations.values():
            security.require(path, operation, keys_required=keys_required)
    for name in VALIDATION:
        components.schemas.pop(name, None)
    refusals.add(components)
    security.add(components)
    return content


def _name_operations(paths: dict[str, Any], routes: list[APIRoute]) -> None:
    """Give each operation a short id: its tag and its function's name.

    Generators make a file for each operation, and FastAPI's ids repeat the whole path.
    """
    names = {
        (route.path_format, method.lower()): _operation_id(route)
        for route in routes
        for method in route.methods or ()
    }
    counts = Counter(names.values())
    for (path, method), name in names.items():
        if operation := paths.get(path, {}).get(method):
            # The Open Inference Protocol has most paths twice, with a version and without.
            by_version = counts[name] > 1 and path.partition("/versions/")[1]
            operation["operationId"] = f"{name}_of_version" if by_version else name


def _operation_id(route: APIRoute) -> str:
    tag = str(route.tags[0]) if route.tags else ""
    tag = tensor_paths.PREFIX if tag == tensor_paths.TAG else tag.replace(" ", "_")
    return route.name if not tag or route.name.startswith(tag) else f"{tag}_{route.name}"


def _fill_path_parameters(operation: dict[str, Any]) -> None:
    """Drop null from the types of parameters in the path, which are always there."""
    for parameter in operation.get("parameters", ()):
        if parameter["in"] == "path" and "anyOf" in parameter["schema"]:
            [parameter["schema"]] = [
                each for each in parameter["schema"]["anyOf"] if each != {"type": "null"}
            ]


def _strip_titles(node: Any) -> None:
    """Remove the titles that FastAPI makes of whole paths; generators name classes by them."""
    if isinstance(node, dict):
        if isinstance(node.get("title"), str):
            del node["title"]
        for each in node.values():
            _strip_titles(each)
    elif isinstance(node, list):
        for each in node:
            _strip_titles(each)
