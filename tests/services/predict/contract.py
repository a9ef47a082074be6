"""Requests that Schemathesis makes of the model server's OpenAPI document."""

import subprocess
import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import httpx

from tests.conftest import ROOT

if TYPE_CHECKING:
    from schemathesis import APIOperation, Case

# Generated requests for one record type.
GENERATED = 20
# Values of the JSON types, of which most fields allow one or two. Not true and false: records read
# them as numbers.
VALUES = (None, 0.5, -(10**9), "", "\u2603 no such value", [], ["neither"], {}, {"no": "such"})


def hold_the_contract(
    server: httpx.Client, names: Iterable[str], verbs: Iterable[str] = ("predict",)
) -> None:
    """Send 40 requests to each model's verbs; fail where a response breaks the document."""
    paths = f"^/v1/models/({'|'.join(names)})/({'|'.join(verbs)})$"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "run", f"{server.base_url}/openapi.json"),
            *("--checks", "not_a_server_error,status_code_conformance,response_schema_conformance"),
            *("--include-path-regex", paths),
            *("--max-examples", "40", "--phases", "examples,fuzzing"),
            *("--seed", "7", "--workers", "1", "--no-color"),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]


def hold_the_record_types(server: httpx.Client, name: str) -> None:
    """Hold a model's predictions to the schemas of its records, with generated valid requests.

    The documented examples must be accepted, and no generated request may fail. Every response must
    have a documented status and schema. Generated requests may be refused, since records have
    conditions that no JSON schema can express.

    This runs in the test's process, without shrinking what fails and without Hypothesis' database:
    0.06 to 0.3 CPU seconds, where the command took 0.7 to 4.
    """
    document = server.get("/openapi.json").json()
    operation = _operation(document, name)
    check = _checker(server)
    for body in _examples(document, name):
        check(operation.Case(body=body, media_type="application/json"), valid=True)
    _generate(operation, check)


def refuse_wrong_fields(server: httpx.Client, name: str) -> None:
    """Send a model's example with one field wrong, missing or unknown.

    Each must be refused, with the name of the field. The wrong values of a field are those of
    `VALUES` and beyond its limits that its documented schema refuses.
    """
    document = server.get("/openapi.json").json()
    good, schema = _examples(document, name)[0], _record_schema(document, name)
    bad: list[tuple[str, dict[str, Any]]] = [("surplus", {**good, "surplus": 1})]
    for field in schema["required"]:
        bad.append((field, {key: value for key, value in good.items() if key != field}))
    for field, kind in schema["properties"].items():
        wrong = _wrong_values({**kind, "components": document["components"]})
        assert wrong, f"no value is wrong for the field {field}"
        bad += [(field, {**good, field: value}) for value in wrong]
    for field, body in bad:
        response = server.post(_path(name), json=body)
        assert response.status_code == 422, (field, body, response.text)
        named = {error["field"].partition(".")[0] for error in response.json()["errors"]}
        assert field in named, (field, response.json())


def _path(name: str) -> str:
    return f"/v1/models/{name}/predict"


def _content(document: dict[str, Any], name: str) -> dict[str, Any]:
    """Return what the document says about JSON bodies of a model's requests."""
    body = document["paths"][_path(name)]["post"]["requestBody"]
    return body["content"]["application/json"]  # type: ignore[no-any-return]


def _examples(document: dict[str, Any], name: str) -> list[Any]:
    return [each["value"] for each in _content(document, name)["examples"].values()]


def _record_schema(document: dict[str, Any], name: str) -> dict[str, Any]:
    """Return the schema of a model's records."""
    schema = _content(document, name)["schema"]
    one = schema.get("oneOf", [schema])[0]
    # With feature lookup, the schema offers the entity's key as an alternative to the record.
    record = one.get("anyOf", [one])[0]["$ref"].rpartition("/")[2]
    return {"required": [], **document["components"]["schemas"][record]}


def _wrong_values(schema: dict[str, Any]) -> list[Any]:
    """Return the values that the schema of a field refuses."""
    import jsonschema_rs

    values = list(VALUES)
    for kind in schema.get("anyOf", [schema]):
        # Large enough not to be lost in rounding: 1e100 + 1 is 1e100.
        for limit, sign in (("maximum", 1), ("minimum", -1)):
            if limit in kind:
                values.append(kind[limit] + sign * max(1, abs(kind[limit])))
        if kind.get("maxLength", 1_000_000) <= 10_000:
            values.append("x" * (kind["maxLength"] + 1))
    validator = jsonschema_rs.validator_for(schema)
    return [value for value in values if not validator.is_valid(value)]


def _operation(document: dict[str, Any], name: str) -> "APIOperation":
    """Return the operation that predicts.

    The other paths are left out: with many models, resolving them takes longer than the requests.
    """
    import schemathesis

    path = _path(name)
    paths = {path: {"post": document["paths"][path]["post"]}}
    return schemathesis.openapi.from_dict({**document, "paths": paths})[path]["POST"]


def _checker(server: httpx.Client) -> "Callable[..., None]":
    """Return a function that sends a request, and raises what is wrong with the response."""
    from schemathesis import checks
    from schemathesis.specs.openapi import checks as documented

    usual = [
        checks.not_a_server_error,
        documented.status_code_conformance,
        documented.response_schema_conformance,
    ]

    def check(case: "Case", *, valid: bool = False) -> None:
        response = case.call(base_url=str(server.base_url))
        more = [documented.positive_data_acceptance] if valid else []
        case.validate_response(response, checks=[*usual, *more])

    return check


def _generate(operation: "APIOperation", check: "Callable[[Case], None]") -> None:
    from hypothesis import HealthCheck, Phase, given, seed, settings

    @seed(7)
    @settings(
        max_examples=GENERATED,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy())
    def send(case: "Case") -> None:
        check(case)

    send()
