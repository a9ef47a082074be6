"""Reads the registry by plain requests to MLflow's server; see `slipway.registry.readers`."""

import base64
import json
import os
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlencode, urlsplit

from slipway.registry.reading import Reader, RegisteredModel, RegisteredVersion

API = "/api/2.0/mlflow"
ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts"
STORES = FOLDER, BEHIND_SERVER = "file", "mlflow-artifacts"
PAGE = 1000
# Pauses before each new try of a request that the server did not answer.
PAUSES = (0.1, 0.5)
# MLflow's own defaults for these variables.
TIMEOUT_VARIABLE, TIMEOUT_SECONDS = "MLFLOW_HTTP_REQUEST_TIMEOUT", 120.0


class RegistryUnreachable(Exception):
    """Raised when the server does not respond; the message has its address."""


class RegistryRefused(Exception):
    """Raised when the server refuses a request; the message is MLflow's own."""


class HttpReader:
    """Reads from an MLflow server at `address`, such as http://127.0.0.1:5000."""

    def __init__(self, address: str) -> None:
        self._address = address.rstrip("/")
        self._timeout = float(os.environ.get(TIMEOUT_VARIABLE) or TIMEOUT_SECONDS)

    def models(self) -> Iterator[RegisteredModel]:
        page = ""
        while True:
            found = self._get(f"{API}/registered-models/search", max_results=PAGE, page_token=page)
            for each in found.get("registered_models", []):
                aliases = {
                    known["alias"]: str(known["version"]) for known in each.get("aliases", [])
                }
                yield RegisteredModel(each["name"], aliases, _tags(each))
            page = found.get("next_page_token", "")
            if not page:
                return

    def version(self, name: str, number: str) -> RegisteredVersion:
        found = self._get(f"{API}/model-versions/get", name=name, version=number)["model_version"]
        return RegisteredVersion(name, str(found["version"]), found.get("run_id", ""), _tags(found))

    def download_model(self, name: str, number: str, folder: Path, path: str = "") -> Path:
        found = self._get(f"{API}/model-versions/get-download-uri", name=name, version=number)
        if not self._reaches(found["artifact_uri"]):
            return _with_mlflow().download_model(name, number, folder, path)
        return self._download(found["artifact_uri"], path, folder)

    def download_run(self, run_id: str, folder: Path, path: str) -> Path:
        found = self._get(f"{API}/runs/get", run_id=run_id)["run"]["info"]["artifact_uri"]
        if not self._reaches(found):
            return _with_mlflow().download_run(run_id, folder, path)
        return self._download(found, path, folder)

    @staticmethod
    def _reaches(store: str) -> bool:
        """Return whether the files are in a folder of this machine, or behind the server."""
        parts = urlsplit(store)
        return parts.scheme in ("", *STORES) and not parts.netloc

    def _download(self, store: str, path: str, folder: Path) -> Path:
        scheme = urlsplit(store).scheme
        if scheme != BEHIND_SERVER:
            # Without a scheme it is a path, in which # and % have no meaning.
            root = unquote(urlsplit(store).path) if scheme else store
            place = Path(root) / path
            if not place.exists():
                raise RegistryRefused(f"there is no {place}")
            return place
        root = store.removeprefix(f"{BEHIND_SERVER}:").strip("/")
        remote = "/".join(part for part in (root, path) if part)
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        if path and not self._list(remote):
            self._copy_file(remote, place)
        else:
            self._copy_folder(remote, place)
        return place

    def _copy_folder(self, remote: str, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        for name, is_folder in self._list(remote):
            copy = self._copy_folder if is_folder else self._copy_file
            copy(f"{remote}/{name}", folder / name)

    def _list(self, remote: str) -> list[tuple[str, bool]]:
        """Return the names in a remote folder, and whether each is a folder; none for a file."""
        found = [
            (each["path"], each["is_dir"])
            for each in self._get(ARTIFACTS, path=remote).get("files", [])
        ]
        for name, _ in found:
            # A name such as ../../x would be written outside the folder of the copy.
            if name in ("", ".", "..") or "/" in name or "\\" in name:
                raise RegistryRefused(f"{remote} holds a file with the name {name!r}")
        return found

    def _copy_file(self, remote: str, file: Path) -> None:
        with self._open(f"{ARTIFACTS}/{quote(remote)}") as response, file.open("wb") as out:
            shutil.copyfileobj(response, out, 2**20)

    def _get(self, endpoint: str, /, **query: Any) -> Any:
        given = {name: value for name, value in query.items() if value != ""}
        with self._open(f"{endpoint}?{urlencode(given)}") as response:
            return json.load(response)

    def _open(self, path: str) -> HTTPResponse:
        """Return the open response.

        Raises:
            RegistryRefused: status 4xx.
            RegistryUnreachable: no response, or status 5xx, also after new tries.
        """
        for pause in (*PAUSES, None):
            try:
                return self._opened(path)
            except (OSError, HTTPException) as error:
                if pause is None:
                    raise RegistryUnreachable(f"{self._address}: {_reason(error)}") from error
                time.sleep(pause)
        raise AssertionError("the last try returns or raises")

    def _opened(self, path: str) -> HTTPResponse:
        request = urllib.request.Request(self._address + path)
        for name, value in credentials(os.environ).items():
            # Not sent on to another host that the server redirects to.
            request.add_unredirected_header(name, value)
        try:
            response: HTTPResponse = urllib.request.urlopen(request, timeout=self._timeout)
        except urllib.error.HTTPError as error:
            if error.code >= 500:
                raise
            raise RegistryRefused(_message(error)) from None
        return response


def credentials(environment: Mapping[str, str]) -> dict[str, str]:
    user, password = (
        environment.get(f"MLFLOW_TRACKING_{name}", "") for name in ("USERNAME", "PASSWORD")
    )
    if user and password:
        packed = base64.b64encode(f"{user}:{password}".encode()).decode()
        return {"Authorization": f"Basic {packed}"}
    token = environment.get("MLFLOW_TRACKING_TOKEN")
    return {"Authorization": f"Bearer {token}"} if token else {}


def _tags(found: Mapping[str, Any]) -> dict[str, str]:
    return {each["key"]: str(each.get("value", "")) for each in found.get("tags", [])}


def _message(error: urllib.error.HTTPError) -> str:
    content = error.read(2**16)
    try:
        known = json.loads(content)
        return f"{known['error_code']}: {known['message']}"
    except (ValueError, KeyError, TypeError):
        return f"{error.code} {error.reason}"


def _reason(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"{error.code} {error.reason}"
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    return f"{type(reason).__name__}: {reason}"


def _with_mlflow() -> Reader:
    """Return the reader for stores that only MLflow knows, such as S3."""
    from slipway.registry.mlflow_reader import MlflowReader

    return MlflowReader()
