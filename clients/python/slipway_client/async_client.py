"""The client for programs with asyncio; its methods are those of `client.py`."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Mapping
from types import TracebackType
from typing import Any, overload

import httpx

from . import calls
from .answers import Media, ModelInfo, Prediction, decoded, media_answer, model_infos, predictions
from .calls import Call, Record, Records
from .client import ADDRESS, POLL_SECONDS, headers, merge, merge_one
from .errors import StreamBroken, TimedOut, Unreachable
from .events import EventReader
from .responses import check, outcome, problem_of
from .retries import Retries
from .schema import Schema


class AsyncClient:
    """A model server. Use it as an asynchronous context manager, or call `close`."""

    def __init__(
        self,
        address: str | None = None,
        *,
        key: str | None = None,
        timeout: float = 60.0,
        retries: Retries | int = 4,
        http: httpx.AsyncClient | None = None,
    ) -> None:
        """Take the same arguments as `Client`."""
        base = address or os.environ.get("SLIPWAY_ADDRESS") or ADDRESS
        self.retries = Retries(retries) if isinstance(retries, int) else retries
        self._http = http or httpx.AsyncClient()
        self._http.base_url = httpx.URL(base)
        self._http.headers.update(headers(key))
        self._http.timeout = httpx.Timeout(timeout)

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        await self._http.aclose()

    async def models(self) -> list[ModelInfo]:
        """Return the models that are served."""
        return model_infos((await self.send(Call("GET", "/v1/models"))).json())

    def model(self, name: str) -> AsyncModel:
        """Return the model called `name`; its schema is fetched at first use."""
        return AsyncModel(self, name)

    async def feedback(
        self,
        prediction: Prediction | str,
        label: Mapping[str, Any] | None = None,
        *,
        reward: float | None = None,
        row: int | None = None,
    ) -> None:
        """Attach the true outcome to a prediction, as `Client.feedback` does."""
        await self.send(calls.feedback(prediction, row, label, reward))

    async def send(self, call: Call) -> httpx.Response:
        """Send a request and return its response, read completely.

        Raises:
            Unreachable: no server responds.
            Refused: the server responded with an error.
        """
        attempt = 0
        while True:
            attempt += 1
            try:
                response = await self._http.request(call.method, call.path, **call.arguments())
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
            await asyncio.sleep(wait)

    async def open(self, call: Call) -> httpx.Response:
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
                response = await self._http.send(request, stream=True)
            except httpx.TransportError as error:
                raise Unreachable(f"no server at {self._http.base_url}: {error!r}") from error
            if response.is_success:
                return response
            try:
                await response.aread()
            finally:
                await response.aclose()
            wait = self.retries.wait(attempt, response.status_code, response.headers)
            if wait is None:
                raise problem_of(response)
            await asyncio.sleep(wait)


class AsyncModel:
    """A served model."""

    def __init__(self, client: AsyncClient, name: str) -> None:
        self.client, self.name = client, name
        self._schema: Schema | None = None

    async def schema(self) -> Schema:
        """Return the fields of its records and predictions, and examples."""
        if self._schema is None:
            path = f"/v1/models/{self.name}/schema"
            self._schema = Schema.read((await self.client.send(Call("GET", path))).json())
        return self._schema

    @overload
    async def predict(self, record: Record | None = None, /, **fields: Any) -> Prediction: ...

    @overload
    async def predict(self, record: Records, /) -> list[Prediction]: ...

    async def predict(
        self, record: Record | Records | None = None, /, **fields: Any
    ) -> Prediction | list[Prediction]:
        """Return the prediction for a record, or those for a list, as `Model.predict` does."""
        sent, schema = merge(record, fields), await self.schema()
        response = await self.client.send(calls.predict(schema, sent))
        found = predictions(response.json(), schema.output_media)
        return found[0] if isinstance(sent, Mapping) else found

    async def predict_media(
        self, record: Record | None = None, /, *, accept: str = "image/png", **fields: Any
    ) -> Media:
        """Return the first medium of the prediction, as `Model.predict_media` does."""
        call = calls.predict(await self.schema(), merge_one(record, fields))
        response = await self.client.send(calls.with_headers(call, Accept=accept))
        return media_answer(response.content, response.headers)

    async def stream(self, record: Record | None = None, /, **fields: Any) -> AsyncStream:
        """Return the chunks of a prediction while they are being made."""
        schema = await self.schema()
        call = calls.predict(schema, merge_one(record, fields))
        response = await self.client.open(calls.with_headers(call, Accept=calls.EVENTS))
        return AsyncStream(response, schema)

    async def submit(self, record: Record | None = None, /, **fields: Any) -> AsyncTask:
        """Start a prediction that takes long; return the task, whose `wait` returns it."""
        call = calls.predict(await self.schema(), merge_one(record, fields))
        response = await self.client.send(calls.with_headers(call, Prefer="respond-async"))
        return AsyncTask(self, response.json()["id"])

    async def explain(self, record: Record | None = None, /, **fields: Any) -> dict[str, Any]:
        """Return which fields of the record contributed how much to the prediction."""
        call = calls.explain(await self.schema(), merge_one(record, fields))
        found: dict[str, Any] = (await self.client.send(call)).json()["explanations"][0]
        return found


class AsyncStream:
    """The chunks of one prediction, as `Stream` has them."""

    def __init__(self, response: httpx.Response, schema: Schema) -> None:
        self._response, self._schema = response, schema
        self.prediction: Prediction | None = None
        """The whole prediction, once the stream has ended."""

    async def __aiter__(self) -> AsyncIterator[Prediction]:
        """Yield the chunks.

        Raises:
            Refused: the model failed in between.
            StreamBroken: the stream ended without its prediction.
        """
        reader, row = EventReader(), 0
        try:
            async for line in self._response.aiter_lines():
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
            await self.close()

    async def __aenter__(self) -> AsyncStream:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End the stream; the server then stops the model."""
        await self._response.aclose()


class AsyncTask:
    """A prediction that goes on in the server after the request."""

    def __init__(self, model: AsyncModel, id: str) -> None:
        self._model, self.id = model, id
        self.path = f"/v1/predictions/{id}"

    async def state(self) -> str:
        """Return `running`, `succeeded` or `failed`."""
        return str((await self._model.client.send(Call("GET", self.path))).json()["state"])

    async def wait(self, timeout: float | None = None) -> Prediction:
        """Wait for the prediction and return it, as `Task.wait` does."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            content = (await self._model.client.send(Call("GET", self.path))).json()
            if (response := outcome(content)) is not None:
                schema = await self._model.schema()
                return predictions(response, schema.output_media)[0]
            if deadline is not None and time.monotonic() > deadline:
                raise TimedOut(f"{self.id} is still running after {timeout:g} s")
            await asyncio.sleep(POLL_SECONDS)

    async def cancel(self) -> None:
        """Stop the prediction."""
        await self._model.client.send(Call("DELETE", self.path))
