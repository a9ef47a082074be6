"""The OpenAPI document of all projects, as generators of clients read it."""

import json
import re
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
from schemathesis.specs.openapi.definitions import OPENAPI_31

from services.predict.openapi import DescribedModel
from tests.conftest import PROJECTS
from tests.services.predict.openapi_documents import build, described, profile

PICTURE = {
    "type": "string",
    "contentEncoding": "base64",
    "contentMediaType": "image/png",
    "x-slipway": {"kind": "image", "media_types": ["image/png", "image/jpeg"]},
}


@pytest.fixture(scope="module")
def whole() -> dict[str, Any]:
    """Return the document with all projects of the repository."""
    return build(*map(described, PROJECTS))


def operations(content: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in content["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for each in node.values():
            yield from references(each)
    elif isinstance(node, list):
        for each in node:
            yield from references(each)


def resolve(content: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in schema:
        schema = content["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return schema


def test_it_is_valid(whole: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator(OPENAPI_31).validate(whole)
    broken = json.loads(json.dumps(whole))
    broken["paths"]["/v1/live"]["get"]["responses"]["200"].pop("description")
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(OPENAPI_31).validate(broken)


def test_every_reference_leads_to_a_component_that_is_used(whole: dict[str, Any]) -> None:
    used = {each.removeprefix("#/components/schemas/") for each in references(whole)}
    assert used == set(whole["components"]["schemas"])


def test_operation_ids_are_short_and_unique(whole: dict[str, Any]) -> None:
    ids = [operation["operationId"] for _, _, operation in operations(whole)]
    assert len(set(ids)) == len(ids)
    assert max(map(len, ids)) <= 40
    assert all(re.fullmatch("[a-z0-9_]+", each) for each in ids)
    assert {"predict_titanic", "explain_titanic", "jobs_create", "v2_infer"} <= set(ids)


def test_no_schema_has_a_title_that_generators_take_for_a_name(whole: dict[str, Any]) -> None:
    def titles(node: Any) -> Iterator[str]:
        if isinstance(node, dict):
            if isinstance(node.get("title"), str):
                yield node["title"]
            for key, each in node.items():
                if key not in ("example", "examples"):
                    yield from titles(each)
        elif isinstance(node, list):
            for each in node:
                yield from titles(each)

    assert list(titles(whole["paths"])) == []
    own = {key: each for key, each in whole["components"]["schemas"].items() if "." in key}
    assert not [title for schema in own.values() for title in titles(schema)]


def test_parameters_in_paths_are_never_null(whole: dict[str, Any]) -> None:
    for path, _, operation in operations(whole):
        parameters = operation.get("parameters", ())
        for parameter in parameters:
            if parameter["in"] == "path":
                assert parameter["schema"]["type"] == "string", path
        named = {each["name"] for each in parameters if each["in"] == "path"}
        assert named == set(re.findall(r"{(\w+)}", path))


def test_errors_are_what_the_server_sends(whole: dict[str, Any]) -> None:
    assert "HTTPValidationError" not in json.dumps(whole)
    for path, _, operation in operations(whole):
        for status, response in operation["responses"].items():
            if status >= "400":
                (kind,) = response["content"]
                of_protocol = path.startswith("/v2")
                assert kind == ("application/json" if of_protocol else "application/problem+json")
    refused = whole["paths"]["/v1/models/titanic/predict"]["post"]["responses"]
    assert {"401", "403", "422", "429", "503", "504"} <= set(refused)


def test_explanations_take_the_models_own_record(whole: dict[str, Any]) -> None:
    assert "/v1/models/{name}/explain" not in whole["paths"]
    explained = whole["paths"]["/v1/models/titanic/explain"]["post"]
    predicted = whole["paths"]["/v1/models/titanic/predict"]["post"]
    body = explained["requestBody"]["content"]["application/json"]
    assert body == predicted["requestBody"]["content"]["application/json"]
    assert body["examples"]


@pytest.mark.parametrize("keys_required", [False, True])
def test_operations_say_whether_they_need_a_key(keys_required: bool) -> None:
    content = build(described(PROJECTS[0]), keys_required=keys_required)
    schemes = set(content["components"]["securitySchemes"])
    for path, _, operation in operations(content):
        offered = operation.get("security")
        if offered is None:
            assert path in ("/v1/live", "/v1/ready", "/v2", "/v2/health/live", "/v2/health/ready")
            continue
        assert {name for each in offered for name in each} == schemes
        optional = {} in offered
        closed = path.startswith(("/v1/admin/", "/v1/records/"))
        assert optional == (not keys_required and not closed), path


def test_media_are_files_in_forms_and_whole_bodies() -> None:
    record = {
        "type": "object",
        "required": ["image", "where"],
        "properties": {
            "image": PICTURE,
            "more": {"type": "array", "items": PICTURE},
            "maybe": {"anyOf": [PICTURE, {"type": "null"}]},
            "where": {"$ref": "#/$defs/Place"},
        },
        "$defs": {"Place": {"type": "object", "properties": {"image": {"type": "integer"}}}},
    }
    prediction = {"type": "object", "properties": {"shown": PICTURE, "count": {"type": "integer"}}}
    content = build(DescribedModel("pictures", "1", profile(record, prediction), []))
    operation = content["paths"]["/v1/models/pictures/predict"]["post"]
    bodies = operation["requestBody"]["content"]
    assert set(bodies) == {"application/json", "multipart/form-data", "application/octet-stream"}
    fields = resolve(content, bodies["multipart/form-data"]["schema"])["properties"]
    binary = {"type": "string", "format": "binary"}
    assert (fields["image"], fields["maybe"]) == (binary, binary)
    assert fields["more"] == {"type": "array", "items": binary}
    assert resolve(content, fields["where"])["properties"]["image"] == {"type": "integer"}
    assert bodies["application/octet-stream"]["schema"] == binary
    answers = operation["responses"]["200"]["content"]
    assert set(answers) == {"application/json", "image/png", "image/jpeg"}


def test_a_streaming_model_names_its_chunks() -> None:
    record = {"type": "object", "properties": {"prompt": {"type": "string"}}}
    chunk = {"type": "object", "properties": {"text": {"type": "string"}}}
    streams = profile(record, record, streams=True, chunk_name="Piece", chunk_schema=chunk)
    content = build(DescribedModel("story", "1", streams, []))
    operation = content["paths"]["/v1/models/story/predict"]["post"]
    stream = operation["responses"]["200"]["content"]["text/event-stream"]
    assert resolve(content, stream["x-chunk"]) == chunk
    assert resolve(content, operation["responses"]["202"]["content"]["application/json"]["schema"])
    assert {"406", "507"} <= set(operation["responses"])


def test_two_media_have_no_whole_body() -> None:
    record = {
        "type": "object",
        "required": ["left", "right"],
        "properties": {"left": PICTURE, "right": PICTURE},
    }
    model = DescribedModel("pair", "1", profile(record, {"type": "object"}), [])
    operation = build(model)["paths"]["/v1/models/pair/predict"]["post"]
    assert set(operation["requestBody"]["content"]) == {"application/json", "multipart/form-data"}


def test_the_bodies_of_an_operation_have_different_schemas(whole: dict[str, Any]) -> None:
    """A generated client picks the content type by the class of the body."""
    for path, _, operation in operations(whole):
        contents = operation.get("requestBody", {}).get("content", {})
        schemas = [json.dumps(each["schema"]) for each in contents.values()]
        assert len(set(schemas)) == len(schemas), path
        assert len(schemas) == 1 or not any("oneOf" in each for each in schemas), path
