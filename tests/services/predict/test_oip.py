"""The Open Inference Protocol, with the real tritonclient and with malformed requests."""

import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Annotated

import httpx
import numpy as np
import pytest
import tritonclient.grpc as triton_grpc
import tritonclient.http as triton_http
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import Field, TypeAdapter, ValidationError
from tritonclient.utils import InferenceServerException

from services.predict.oip import codec
from services.predict.oip.bounds import Bounds
from services.predict.oip.columns import columns_of
from services.web.problem import Problem
from slipway import home
from slipway.contract import Record
from slipway.project import Project
from tests.conftest import by_name
from tests.services.fake_models import ModelRegistryFixture, Server
from tests.services.predict.oip_client import answers, infer_over_grpc, infer_over_http
from tests.small_models import PROJECTS, SmallModels, project
from tests.waiting import until


@pytest.fixture(scope="module")
def over_http(server: httpx.Client) -> Iterator[triton_http.InferenceServerClient]:
    with triton_http.InferenceServerClient(f"{home.LOOPBACK}:{server.base_url.port}") as client:
        yield client


@pytest.fixture(scope="module")
def over_grpc(server: httpx.Client, grpc_port: int) -> Iterator[triton_grpc.InferenceServerClient]:
    with triton_grpc.InferenceServerClient(f"{home.LOOPBACK}:{grpc_port}") as client:
        yield client


@pytest.fixture
def typed(server: httpx.Client, small_models: SmallModels):
    """Return a project's examples and the typed endpoint's predictions for them."""

    def predict(project: Project) -> tuple[list[dict], list[dict]]:
        examples = json.loads(small_models.works[project.name].examples.read_text())
        records = [each["input"] for each in examples]
        response = server.post(f"/v1/models/{project.name}/predict", json=records)
        return records, response.json()["predictions"]

    return predict


@pytest.mark.parametrize("project", PROJECTS, ids=by_name)
@pytest.mark.parametrize("binary", [True, False], ids=["binary", "json"])
def test_tritonclient_over_http(over_http, typed, project: Project, binary: bool) -> None:
    records, expected = typed(project)
    result = infer_over_http(over_http, project, records, binary=binary)
    assert answers(result, project, len(records)) == expected
    head = result.get_response()
    assert (head["model_name"], head["id"]) == (project.name, "mine")
    assert head["parameters"]["variant"] == "champion"


@pytest.mark.parametrize("project", PROJECTS, ids=by_name)
def test_tritonclient_over_grpc(over_grpc, typed, project: Project) -> None:
    records, expected = typed(project)
    result = infer_over_grpc(over_grpc, project, records)
    assert answers(result, project, len(records)) == expected


@pytest.mark.parametrize("client", ["over_http", "over_grpc"])
def test_health_and_metadata(client: str, request) -> None:
    triton_client = request.getfixturevalue(client)
    assert triton_client.is_server_live()
    assert triton_client.is_server_ready()
    assert triton_client.is_model_ready("loans")
    assert not triton_client.is_model_ready("nobody")
    metadata = triton_client.get_model_metadata("loans")
    inputs = metadata["inputs"] if isinstance(metadata, dict) else metadata.inputs
    names = [each["name"] if isinstance(each, dict) else each.name for each in inputs]
    assert names == ["purpose", "region", "income", "debt", "age"]
    server = triton_client.get_server_metadata()
    assert (server["name"] if isinstance(server, dict) else server.name) == "slipway"


def test_clients_can_read_refusals(over_http, over_grpc) -> None:
    array = np.array([40], dtype=np.int64)
    for module, client in ((triton_http, over_http), (triton_grpc, over_grpc)):
        tensor = module.InferInput("age", [1], "INT64")
        tensor.set_data_from_numpy(array)
        with pytest.raises(InferenceServerException, match="purpose: is missing"):
            client.infer("loans", [tensor])
        with pytest.raises(InferenceServerException, match="no model is called"):
            client.infer("nobody", [tensor])
        with pytest.raises(InferenceServerException, match="has no version '77'"):
            client.infer("loans", [tensor], model_version="77")


def test_whole_records_in_one_tensor(over_http, typed) -> None:
    loans = project("loans")
    records, expected = typed(loans)
    rows = np.array([json.dumps(record) for record in records], dtype=np.object_)
    tensor = triton_http.InferInput("records", list(rows.shape), "BYTES")
    tensor.set_data_from_numpy(rows)
    assert answers(over_http.infer("loans", [tensor]), loans, len(records)) == expected


class Sample(Record):
    whole: int = Field(ge=0, le=10)
    real: float = Field(gt=-1, lt=1)
    flag: bool


SAMPLE = columns_of(Sample.model_json_schema())
Value = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.lists(st.none())
)
Tensor = st.fixed_dictionaries(
    {},
    optional={
        "name": st.one_of(st.sampled_from(["whole", "real", "flag", "records"]), Value),
        "datatype": st.one_of(st.sampled_from([*codec.DTYPES, "BYTES"]), Value),
        "shape": st.one_of(st.lists(st.integers(-2, 10**20), max_size=3), Value),
        "data": st.one_of(st.lists(Value, max_size=4), Value),
        "parameters": st.one_of(
            st.fixed_dictionaries({"binary_data_size": st.one_of(st.integers(-2, 40), Value)}),
            Value,
        ),
    },
)
Request = st.fixed_dictionaries(
    {"inputs": st.one_of(st.lists(Tensor, max_size=4), Value)},
    optional={"id": Value, "outputs": Value, "parameters": Value},
)


@settings(max_examples=600, deadline=None)
@example({"inputs": [{"name": "number", "datatype": ["FP32"], "shape": [1]}]}, b"", 0)
@given(Request, st.binary(max_size=60), st.integers(-5, 5))
def test_malformed_requests_are_refused(head: dict, tail: bytes, off: int) -> None:
    text = json.dumps(head).encode()
    for length in (None, len(text), len(text) + off):
        # Any exception but a Problem fails the test.
        with suppress(Problem):
            inference = codec.decode(text + tail, json_length=length, columns=SAMPLE, most_rows=100)
            assert 1 <= inference.rows <= 100
            codec.as_json(inference)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200), st.one_of(st.none(), st.integers(-5, 300)))
def test_arbitrary_bytes_are_refused(body: bytes, length: int | None) -> None:
    with pytest.raises(Problem):
        codec.decode(body, json_length=length, columns=SAMPLE, most_rows=100)


@pytest.mark.parametrize("rows", [['{"whole":1},{"whole":2}'], ['{"whole":1', '"real":2}'], ["["]])
def test_a_row_holds_one_record(rows: list[str]) -> None:
    tensor = {"name": "records", "datatype": "BYTES", "shape": [len(rows)], "data": rows}
    body = json.dumps({"inputs": [tensor]}).encode()
    with pytest.raises(Problem, match="no JSON"):
        codec.decode(body, json_length=None, columns=SAMPLE, most_rows=100)


class Unsure(Record):
    count: int | None
    flag: bool | None


@pytest.mark.parametrize("binary", [True, False])
def test_unknown_integers_are_sent_as_not_a_number(binary: bool) -> None:
    columns = columns_of(Unsure.model_json_schema())
    predictions = b'[{"count":3,"flag":null},{"count":null,"flag":true}]'
    outputs = codec.columns_of_predictions(predictions, columns)
    inference = codec.InferenceRequest(id=None, rows=2, binary=binary)
    body, length = codec.encode(outputs, columns, inference, head={"model_name": "unsure"})
    client = triton_http.InferenceServerClient
    result = client.parse_response_body(body, header_length=length or len(body))
    if binary:
        np.testing.assert_array_equal(result.as_numpy("count"), [3, np.nan])
        np.testing.assert_array_equal(result.as_numpy("flag"), [np.nan, 1])
    else:
        tensors = {each["name"]: each for each in result.get_response()["outputs"]}
        assert tensors["count"]["data"] == [3, None]
        assert tensors["count"]["datatype"] == "FP64"


class Nested(Record):
    inner: Unsure | None


@pytest.mark.parametrize("binary", [True, False])
def test_a_nested_value_that_is_null_is_sent_as_json(binary: bool) -> None:
    columns = columns_of(Nested.model_json_schema())
    predictions = b'[{"inner":null},{"inner":{"count":1,"flag":null}}]'
    outputs = codec.columns_of_predictions(predictions, columns)
    inference = codec.InferenceRequest(id=None, rows=2, binary=binary)
    body, length = codec.encode(outputs, columns, inference, head={"model_name": "nested"})
    client = triton_http.InferenceServerClient
    result = client.parse_response_body(body, header_length=length or len(body))
    values = [json.loads(each) for each in result.as_numpy("inner")]
    assert values == [None, {"count": 1, "flag": None}]


def test_a_false_shape_allocates_no_memory() -> None:
    """Memory is allocated for the values that were sent, not for the shape that was claimed."""
    claim = {"name": "real", "datatype": "FP64", "shape": [10**15], "data": [1.0]}
    with pytest.raises(Problem, match="1 to 100 rows"):
        codec.decode(
            json.dumps({"inputs": [claim]}).encode(),
            json_length=None,
            columns=SAMPLE,
            most_rows=100,
        )


class Bounded(Record):
    one: float = Field(ge=-2, le=2)
    two: float = Field(gt=-2, lt=2)
    three: int = Field(ge=0, lt=5)
    four: Annotated[float, Field(ge=0)]
    free: float


ADAPTER = TypeAdapter(Bounded)
BOUNDS = Bounds(columns_of(Bounded.model_json_schema()))
Near = st.one_of(st.floats(-3, 3), st.sampled_from([-2.0, 2.0, 0.0, -0.0, np.nan, np.inf, -np.inf]))


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(Near, Near, st.integers(-2, 7), Near, Near), min_size=1, max_size=6))
def test_column_checks_agree_with_record_validation(rows: list[tuple]) -> None:
    assert BOUNDS.checkable
    names = list(Bounded.model_fields)
    arrays = {name: np.array([row[n] for row in rows], dtype=float) for n, name in enumerate(names)}
    faults = []
    for number, row in enumerate(rows):
        try:
            ADAPTER.validate_python(dict(zip(names, row, strict=True)))
        except ValidationError as error:
            faults += [f"{number}.{fault['loc'][0]}" for fault in error.errors()]
    if faults:
        with pytest.raises(Problem) as refused:
            BOUNDS.check(arrays)
        assert refused.value.errors[0]["field"] in faults
    else:
        BOUNDS.check(arrays)


COLUMNS_MODEL = '''
"""Is this a sum?"""

import numpy as np
from pydantic import Field

from slipway.contract import Model, Record, publish


class Pair(Record):
    number: float = Field(ge=0, le=100)
    other: int = Field(default=2, ge=0, le=100)


class Required(Record):
    number: float = Field(ge=0, le=100)


class Answer(Record):
    total: float
    by: str


class Summed(Model):
    def predict(self, model_input: list[Required]) -> list[Answer]:
        return [Answer(total=each.number, by="records") for each in model_input]

    def predict_columns(self, columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        rows = len(columns["number"])
        return {"total": columns["number"], "by": np.array(["columns"] * rows, dtype=object)}


publish(Summed())
'''


def test_models_may_predict_whole_columns(tmp_path) -> None:
    fake_models = ModelRegistryFixture(tmp_path)
    fake_models.add("summed", COLUMNS_MODEL)
    with fake_models.serving() as server:
        until(lambda: server.request("summed").status_code == 200)

        def infer(values: list[float]) -> httpx.Response:
            tensor = {
                "name": "number",
                "datatype": "FP64",
                "shape": [len(values)],
                "data": values,
            }
            return server.client.post("/v2/models/summed/infer", json={"inputs": [tensor]})

        response = infer([1.0, 2.5])
        assert response.status_code == 200, response.text
        outputs = {each["name"]: each["data"] for each in response.json()["outputs"]}
        assert outputs == {"total": [1.0, 2.5], "by": ["columns", "columns"]}
        refused = infer([1.0, 101.0])
        assert refused.status_code == 422
        assert "1.number" in refused.json()["error"]
        # It is on record like any other prediction, and takes feedback for each row.
        identifier = response.json()["parameters"]["prediction_id"]
        label = {"id": identifier, "row": 1, "label": {"total": 2.0}}
        attached = server.client.post("/v1/feedback", json=label)
        assert attached.status_code == 201, attached.text
        assert attached.json()["score"] == -0.5
        assert values_of_by(server) == {"columns"}


def values_of_by(server: Server) -> set[str]:
    place = "/v2/models/summed/versions/1/infer"
    tensor = {"name": "number", "datatype": "INT32", "shape": [2, 1], "data": [[1], [2]]}
    response = server.client.post(place, json={"inputs": [tensor]}).json()
    return {value for each in response["outputs"] if each["name"] == "by" for value in each["data"]}
