"""Records that a command sends to a model server, with files, and the media that come back."""

import base64
import json
import mimetypes
from collections.abc import Callable
from pathlib import Path
from typing import Any

from slipway.fault import Fault
from slipway.rest import ServiceClient, ServiceFault, events

# Models may take long; the server has a time limit of its own for each.
SECONDS = 600.0


def path(project: str) -> str:
    """Return the path of the project's predictions."""
    return f"/v1/models/{project}/predict"


def example(server: ServiceClient, project: str) -> str:
    """Return a message that shows how to send the project's first example."""
    found = server.request_json("GET", f"/v1/models/{project}/schema")["examples"]
    usage = (
        f"give a record as JSON, or - to read it, or --file FIELD=PATH: slipway predict {project}"
    )
    text = json.dumps(found[0]["input"]) if found else ""
    return f"{usage} '{text}'" if text and len(text) < 1000 else usage


def with_files(record: Any, files: list[str]) -> Any:
    """Return the record with the content of files, each as `field=path`, in base64.

    A field that is named more than once becomes a list.

    Raises:
        Fault: an assignment has another form, a file cannot be read, or there are many records.
    """
    if not files:
        return record
    if not isinstance(record, dict):
        raise Fault("--file needs a single record, not a list")
    found: dict[str, list[str]] = {}
    for each in files:
        field, equals, name = each.partition("=")
        if not (field and equals and name):
            raise Fault(f"--file {each}: must be like image=picture.png")
        try:
            content = Path(name).read_bytes()
        except OSError as error:
            raise Fault(f"--file {each}: {error.strerror}") from None
        found.setdefault(field, []).append(base64.b64encode(content).decode())
    return {
        **record,
        **{field: texts if len(texts) > 1 else texts[0] for field, texts in found.items()},
    }


def follow(
    server: ServiceClient, project: str, record: Any, show: Callable[[dict[str, Any]], None]
) -> dict[str, Any]:
    """Pass each chunk of a streamed prediction to `show`; return the response at its end.

    Raises:
        ServiceFault: the server refused, failed in between, or ended the stream too early.
    """
    headers = {"Accept": "text/event-stream"}
    with server.request(
        "POST", path(project), record, seconds=SECONDS, headers=headers
    ) as response:
        for name, data in events(response):
            if name == "chunk":
                show(json.loads(data))
            elif name == "prediction":
                found: dict[str, Any] = json.loads(data)
                return found
            elif name == "error":
                problem = json.loads(data)
                raise ServiceFault(f"{problem['title']}: {problem['detail']}", problem["status"])
    raise ServiceFault(f"{project}: the stream ended without a prediction")


def media_of(server: ServiceClient, project: str) -> dict[str, str]:
    """Return the fields of the project's predictions that hold media, with their media types."""
    schema = server.request_json("GET", f"/v1/models/{project}/schema")["output"]
    return {
        name: part.get("contentMediaType", "application/octet-stream")
        for name, field in schema.get("properties", {}).items()
        for part in (field, *field.get("anyOf", ()), field.get("items", {}))
        if part.get("contentEncoding") == "base64"
    }


def save(
    row: int, prediction: dict[str, Any], media: dict[str, str], folder: Path
) -> dict[str, Any]:
    """Write the media of a prediction into `folder`; return it with paths in their places."""
    folder.mkdir(parents=True, exist_ok=True)
    shown = dict(prediction)
    for field, kind in media.items():
        value = prediction.get(field)
        contents = value if isinstance(value, list) else [value]
        places = []
        for number, content in enumerate(each for each in contents if each is not None):
            suffix = mimetypes.guess_extension(kind) or ".bin"
            more = f"-{number}" if isinstance(value, list) else ""
            place = folder / f"{row}-{field}{more}{suffix}"
            place.write_bytes(base64.b64decode(content))
            places.append(str(place))
        if places:
            shown[field] = places if isinstance(value, list) else places[0]
    return shown
