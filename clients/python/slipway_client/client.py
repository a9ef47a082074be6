"""The client for programs without asyncio."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from functools import cached_property
from types import TracebackType
from typing import Any, overload

import httpx

from . import calls
from .answers import Media, ModelInfo, Prediction, decoded, media_answer, model_infos, predictions
from .calls import Call, Record, Records
from .errors import StreamBroken, TimedOut, Unreachable
from .events import EventReader
from .responses import check, outcome, problem_of
from .retries import Retries
from .schema import Schema

ADDRESS = "http://127.0.0.1:8000"
POLL_SECONDS = 0.5


def headers(key: str | None) -> dict[str, str]:
    """Return the headers of every request; the key is by default $SLIPWAY_API_KEY."""
    text = key or os.environ.get("SLIPWAY_API_KEY")
    return {"Authorization": f"Bearer {text}"} if text else {}


class Client:
    """A model server. Use it as a context manager, or call `close`."""

    def __init__(
        self,
        address: str | None = None,
        *,
        key: str | None = None,
        timeout: float = 60.0,
        retries: Retries | int = 4,
        http: httpx.Client | None = None,
    ) -> None:
        """
        Args:
            address: of the server; by default $SLIPWAY_ADDRESS, or this machine.
            key: the API key; by default $SLIPWAY_API_KEY.
            timeout: seconds to wait for a response.
            retries: how often a request is repeated while the server is busy, or all details.
            http: an own client of httpx, for proxies, certificates and the like.
        """
        base = address or os.environ.get("SLIPWAY_ADDRESS") or ADDRESS
        self.retries = Retries(retries) if isinstance(retries, int) else retries
        self._http = http or httpx.Client()
        self._http.base_url = httpx.URL(base)
        self._http.headers.update(headers(key))
        self._http.timeout = httpx.Timeout(timeout)

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def models(self) -> list[ModelInfo]:
        """Return the models that are served."""
        return model_infos(self.send(Call("GET", "/v1/models")).json())

    def model(self, name: str) -> Model:
        """Return the model called `name`; its schema is fetched at first use."""
        return Model(self, name)

    def feedback(
        self,
        prediction: Prediction | str,
        label: Mapping[str, Any] | None = None,
        *,
        reward: float | None = None,
        row: int | None = None,
    ) -> None:
        """Attach the true outcome to a prediction, now or days later.

        Args:
            prediction: or its id.
            label: some of the predicted fields, with their true values.
            reward: a score, instead of the label or besides it.
            row: which prediction of the response, from 0.
        """
        self.send(calls.feedback(prediction, row, label, reward))

    def send(self, call: Call) -> httpx.Response:
        """Send a request and return its response, read completely.

        Raises:
            Unreachable: no server responds.
            Refused: the server responded with an error.
        """
        attempt = 0
        while True:
            attempt += 1
            try:
                response = self._http.request(call.method, call.path, **call.arguments())
            except httpx.ConnectError as error:
                wait = self.retries.wait(attempt, None, {})
                if wait is None:
                    raise Unreachable(f"no server at {self._http.base_url}: {error}") from error
            except httpx.TransportError as error:
                raise Unreachable(f"{self._http.base_url}: {error!r}") from error
            else:
                wait = self.retries.wait(attempt, response.status_code, response.headers)
                if wait is None:
                    return check(response)
            time.sleep(wait)

    def open(self, call: Call) -> httpx.Response:
        """Send a request and return its response, which the caller reads and closes.

        Raises:
            Unreachable: no server responds.
            Refused: the server responded with an error.
        """
        attempt = 0
        while True:
            attempt += 1
            request = self._http.build_request(call.method, call.path, **call.arguments())
            try:
                response = self._http.send(request, stream=True)
            except httpx.TransportError as error:
                raise Unreachable(f"no server at {self._http.base_url}: {error!r}") from error
            if response.is_success:
                return response
            try:
                response.read()
            finally:
                response.close()
            wait = self.retries.wait(attempt, response.status_code, response.headers)
            if wait is None:
                raise problem_of(response)
            time.sleep(wait)


class Model:
    """A served model."""

    def __init__(self, client: Client, name: str) -> None:
        self.client, self.name = client, name

    @cached_property
    def schema(self) -> Schema:
        """The fields of its records and predictions, and examples."""
        path = f"/v1/models/{self.name}/schema"
        return Schema.read(self.client.send(Call("GET", path)).json())

    @overload
    def predict(self, record: Record | None = None, /, **fields: Any) -> Prediction: ...

    @overload
    def predict(self, record: Records, /) -> list[Prediction]: ...

    def predict(
        self, record: Record | Records | None = None, /, **fields: Any
    ) -> Prediction | list[Prediction]:
        """Return the prediction for a record, or the predictions for a list of records, in order.

        The record's fields can be given as arguments: `model.predict(sex="female", ...)`.

        Raises:
            FieldError: a field is unknown or missing; nothing was sent.
            Refused: the server refused the record.
        """
        sent = merge(record, fields)
        call = calls.predict(self.schema, sent)
        found = predictions(self.client.send(call).json(), self.schema.output_media)
        return found[0] if isinstance(sent, Mapping) else found

    def predict_media(
        self, record: Record | None = None, /, *, accept: str = "image/png", **fields: Any
    ) -> Media:
        """Return the first medium of the prediction as such, without base64.

        Args:
            accept: the wanted media type.
        """
        call = calls.predict(self.schema, merge_one(record, fields))
        response = self.client.send(calls.with_headers(call, Accept=accept))
        return media_answer(response.content, response.headers)

    def stream(self, record: Record | None = None, /, **fields: Any) -> Stream:
        """Return the chunks of a prediction while they are being made."""
        call = calls.predict(self.schema, merge_one(record, fields))
        response = self.client.open(calls.with_headers(call, Accept=calls.EVENTS))
        return Stream(response, self.schema)

    def submit(self, record: Record | None = None, /, **fields: Any) -> Task:
        """Start a prediction that takes long; return the task, whose `wait` returns it."""
        call = calls.predict(self.schema, merge_one(record, fields))
        response = self.client.send(calls.with_headers(call, Prefer="respond-async"))
        return Task(self, response.json()["id"])

    def explain(self, record: Record | None = None, /, **fields: Any) -> dict[str, Any]:
        """Return which fields of the record contributed how much to the prediction."""
        call = calls.explain(self.schema, merge_one(record, fields))
        found: dict[str, Any] = self.client.send(call).json()["explanations"][0]
        return found


class Stream:
    """The chunks of one prediction. Close it, or use it as a context manager, to stop the model."""

    def __init__(self, response: httpx.Response, schema: Schema) -> None:
        self._response, self._schema = response, schema
        self.prediction: Prediction | None = None
        """The whole prediction, once the stream has ended."""

    def __iter__(self) -> Iterator[Prediction]:
        """Yield the chunks.

        Raises:
            Refused: the model failed in between.
            StreamBroken: the stream ended without its prediction.
        """
        reader, row = EventReader(), 0
        try:
            for line in self._response.iter_lines():
                event = reader.feed(line)
                if event is None:
                    continue
                name, content = event
                if name == "chunk":
                    yield Prediction(decoded(content, self._schema.chunk_media), {}, row)
                    row += 1
                elif name == "prediction":
                    [self.prediction] = predictions(content, self._schema.output_media)
                    return
            raise StreamBroken(f"{self._schema.name}: the stream ended without a prediction")
        except httpx.TransportError as error:
            raise StreamBroken(f"{self._schema.name}: {error!r}") from error
        finally:
            self.close()

    def __enter__(self) -> Stream:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the stream; the server then stops the model."""
        self._response.close()


class Task:
    """A prediction that goes on in the server after the request."""

    def __init__(self, model: Model, id: str) -> None:
        self._model, self.id = model, id
        self.path = f"/v1/predictions/{id}"

    def state(self) -> str:
        """Return `running`, `succeeded` or `failed`."""
        return str(self._model.client.send(Call("GET", self.path)).json()["state"])

    def wait(self, timeout: float | None = None) -> Prediction:
        """Wait for the prediction and return it.

        Raises:
            TimedOut: it is still running after `timeout` seconds.
            Refused: the model failed, or the task was canceled or forgotten.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            content = self._model.client.send(Call("GET", self.path)).json()
            if (response := outcome(content)) is not None:
                return predictions(response, self._model.schema.output_media)[0]
            if deadline is not None and time.monotonic() > deadline:
                raise TimedOut(f"{self.id} is still running after {timeout:g} s")
            time.sleep(POLL_SECONDS)

    def cancel(self) -> None:
        """Stop the prediction."""
        self._model.client.send(Call("DELETE", self.path))


def merge(record: Record | Records | None, fields: Mapping[str, Any]) -> Record | Records:
    """Return the record with the fields that were given as arguments."""
    if isinstance(record, Mapping):
        return {**record, **fields}
    if record is None:
        return dict(fields)
    if fields:
        raise TypeError("fields cannot be given besides a list of records")
    return record


def merge_one(record: Record | None, fields: Mapping[str, Any]) -> Record:
    """Return the one record with the fields that were given as arguments."""
    return {**(record or {}), **fields}
