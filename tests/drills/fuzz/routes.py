"""The routes of a service, found in its application and its OpenAPI document."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter
from starlette.routing import BaseRoute, Mount

PARAMETER = re.compile(r"{(\w+)(?::\w+)?}")
METHODS = frozenset({"get", "put", "post", "delete", "patch", "head", "options"})
Known = dict[str, list[Any]]
"""Values by the name of a parameter or a field: a model's name, the id of a prediction."""


@dataclass(frozen=True)
class Route:
    """A method and a path, with what a request to it may hold."""

    method: str
    path: str
    query: tuple[str, ...] = ()
    body: dict[str, Any] | None = None
    """The JSON schema of the body."""
    examples: tuple[Any, ...] = ()
    """Valid bodies that the service's documentation shows."""
    types: tuple[str, ...] = ()
    """The content types of the body."""
    definitions: dict[str, Any] = field(default_factory=dict, hash=False, compare=False)

    @property
    def label(self) -> str:
        return f"{self.method} {self.path}"


def of_application(routes: Iterable[BaseRoute]) -> list[Route]:
    """Return the routes of a FastAPI or Starlette application, also those without documentation."""
    found = []
    for each in routes:
        if isinstance(each, Mount):
            found.append(Route("GET", f"{each.path}/{{file}}"))
            continue
        methods: set[str] = getattr(each, "methods", None) or {"GET"}
        path: str = PARAMETER.sub(r"{\1}", getattr(each, "path", "/"))
        dependant = getattr(each, "dependant", None)
        query = tuple(one.alias for one in dependant.query_params) if dependant else ()
        body = getattr(each, "body_field", None)
        schema = TypeAdapter(body.field_info.annotation).json_schema() if body else None
        for method in sorted(methods - {"HEAD"}):
            found.append(Route(method, path, query, schema))
    return found


def of_document(document: dict[str, Any]) -> list[Route]:
    """Return the routes of an OpenAPI document."""
    components = document.get("components", {}).get("schemas", {})
    found = []
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if method not in METHODS:
                continue
            content = operation.get("requestBody", {}).get("content", {})
            parameters = operation.get("parameters", ())
            json_body = content.get("application/json", {})
            examples = [each["value"] for each in json_body.get("examples", {}).values()]
            found.append(
                Route(
                    method.upper(),
                    path,
                    tuple(each["name"] for each in parameters if each["in"] == "query"),
                    json_body.get("schema"),
                    tuple(examples),
                    tuple(content),
                    components,
                )
            )
    return found


def merged(*sources: list[Route]) -> list[Route]:
    """Return each route once; a later source says more about it than an earlier one."""
    found: dict[str, Route] = {}
    for each in (route for source in sources for route in source):
        found[each.label] = each
    return [found[label] for label in sorted(found)]


def sample(schema: dict[str, Any], route: Route, known: Known, draw: Random) -> Any:
    """Return a value that fits the schema as far as this knows it."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        defined = (route.body or {}).get("$defs", {}) | route.definitions
        return sample(defined[name], route, known, draw)
    for choices in ("anyOf", "oneOf"):
        if choices in schema:
            return sample(draw.choice(schema[choices]), route, known, draw)
    if "const" in schema or "enum" in schema:
        return schema["const"] if "const" in schema else draw.choice(schema["enum"])
    kind = schema.get("type")
    if kind == "object":
        return _object(schema, route, known, draw)
    if kind == "array":
        return [
            sample(schema.get("items", {}), route, known, draw) for _ in range(draw.choice((1, 2)))
        ]
    if kind == "string":
        return _string(schema, draw)
    plain = {"integer": 1, "number": draw.choice((0.5, 1)), "boolean": True, "null": None}
    return plain.get(str(kind), "text")


def _object(schema: dict[str, Any], route: Route, known: Known, draw: Random) -> dict[str, Any]:
    found, required = {}, schema.get("required", ())
    for name, each in schema.get("properties", {}).items():
        if name not in required and draw.random() < 0.4:
            continue
        if known.get(name) and draw.random() < 0.9:
            found[name] = draw.choice(known[name])
        else:
            found[name] = sample(each, route, known, draw)
    more = schema.get("additionalProperties")
    if isinstance(more, dict) or (more is None and not found) or more is True:
        for name in draw.sample(sorted(known), min(2, len(known))):
            found[name] = draw.choice(known[name] or ["text"])
    return found


def _string(schema: dict[str, Any], draw: Random) -> str:
    if "pattern" in schema:
        return draw.choice(_matching(schema["pattern"]))
    if schema.get("format") == "uuid":
        return "00000000-0000-4000-8000-000000000000"
    return "text"


_texts: dict[str, list[str]] = {}


def _matching(pattern: str) -> list[str]:
    """Return some texts that match the pattern, always the same ones."""
    if pattern not in _texts:
        texts: list[str] = []

        @seed(1)
        @settings(
            max_examples=5,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(st.from_regex(pattern))
        def collect(text: str) -> None:
            texts.append(text)

        collect()
        _texts[pattern] = texts
    return _texts[pattern]
