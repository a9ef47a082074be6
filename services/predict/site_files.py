"""The files of the website: the catalogue, the page to try a model, and what these load.

They are read once and stay in memory, about 100 KB. Their address contains a hash of all of them,
so browsers keep them for good and a new release is loaded at once.
"""

import hashlib
import mimetypes
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

FOLDER = Path(__file__).with_name("site")
# Scripts and styles come from this server alone, and none stand in the pages themselves.
POLICY = (
    "default-src 'none'; script-src {scripts}; style-src 'self'; img-src 'self' blob: data:; "
    "media-src 'self' blob: data:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; "
    "form-action 'self'"
)
SCRIPTS = "'self'"
# ONNX Runtime compiles WebAssembly. Unlike `unsafe-eval`, this allows no JavaScript made of texts.
SCRIPTS_AND_WASM = "'self' 'wasm-unsafe-eval'"
PAGE_HEADERS = {
    "permissions-policy": "camera=(self), microphone=(self), geolocation=()",
    # A page names the address of the files; it is fetched again, they are not.
    "cache-control": "no-cache",
}
FOR_GOOD = "public, max-age=31536000, immutable"
TYPES = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8"}


@dataclass(frozen=True)
class SiteFile:
    """A file of the site in memory."""

    content: bytes
    media_type: str
    etag: str


@cache
def files() -> dict[str, SiteFile]:
    """Return the site's files by name."""
    return {file.name: _site_file(file) for file in sorted(FOLDER.iterdir()) if not file.is_dir()}


@cache
def fingerprint() -> str:
    """Return a hash of all files, which is part of their address."""
    whole = hashlib.sha256()
    for name, file in files().items():
        whole.update(f"{name}\0{file.etag}\0".encode())
    return whole.hexdigest()[:16]


def page(name: str, request: Request, *, status: int = 200, runs_models: bool = False) -> Response:
    """Return a page of the site; it names its files relative to the server's root.

    `runs_models` allows it to compile WebAssembly, with which a model runs in the browser.

    Addresses are relative, so the site also works below a path of a reverse proxy.
    """
    depth = request.url.path.removeprefix(request.scope.get("root_path", "")).count("/") - 1
    root = "../" * depth or "./"
    text = files()[name].content.decode()
    text = text.replace("{site}", f"{root}site/{fingerprint()}").replace("{root}", root)
    policy = POLICY.format(scripts=SCRIPTS_AND_WASM if runs_models else SCRIPTS)
    return HTMLResponse(text, status, headers={**PAGE_HEADERS, "content-security-policy": policy})


def asset(release: str, name: str, request: Request) -> Response | None:
    """Return a script, style or picture of the site; None if there is no such file.

    During an update, a page of one replica may load files from another with a newer release; these
    are not kept.
    """
    found = files().get(name)
    if found is None or name.endswith(".html"):
        return None
    headers = {
        "etag": found.etag,
        "cache-control": FOR_GOOD if release == fingerprint() else "no-cache",
    }
    if request.headers.get("if-none-match") == found.etag:
        return Response(status_code=304, headers=headers)
    return Response(found.content, media_type=found.media_type, headers=headers)


def _site_file(file: Path) -> SiteFile:
    content = file.read_bytes()
    kind = TYPES.get(file.suffix) or mimetypes.guess_type(file.name)[0] or "text/plain"
    return SiteFile(content, kind, f'"{hashlib.sha256(content).hexdigest()[:16]}"')
