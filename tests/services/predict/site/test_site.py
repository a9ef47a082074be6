"""The website over HTTP: policy, caching, pictures, links, and the contrast of its colors."""

import asyncio
import re
import socket
from pathlib import Path

import httpx
import pytest

from services.predict import catalogue, site_files
from services.predict.links import platform_links
from services.predict.settings import Settings
from services.settings import BadSettings
from slipway import home
from tests.small_models import NAMES

STYLE = (site_files.FOLDER / "style.css").read_text()
# WCAG 2.2 AA: text 4.5 to 1, the edges of inputs 3 to 1.
PAIRS = [
    *((text, back, 4.5) for text in ("text", "quiet", "accent") for back in ("page", "surface")),
    *((text, "surface", 4.5) for text in ("good", "warn", "bad")),
    *((text, "raised", 4.5) for text in ("text", "quiet", "bad")),
    ("on-accent", "accent", 4.5),
    *((edge, "surface", 3.0) for edge in ("edge", "bar", "accent")),
]


def assets(page: str) -> list[str]:
    return re.findall(r'(?:src|href)="([^"]+/site/[^"]+)"', page)


def test_pages_run_only_scripts_of_this_server(server: httpx.Client) -> None:
    for path in ("/", "/try/loans"):
        page = server.get(path)
        policy = page.headers["content-security-policy"]
        assert "script-src 'self'" in policy
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert page.headers["content-type"].startswith("text/html")
        assert not re.search(r"<script(?![^>]* src=)|<style| on\w+=| style=", page.text)
        for name in assets(page.text):
            assert server.get(str(page.url.join(name))).status_code == 200
    assert server.get("/try/nobody").status_code == 404


def test_files_are_kept_for_good_under_the_address_of_their_release(server: httpx.Client) -> None:
    page = server.get("/try/loans")
    script = next(each for each in assets(page.text) if each.endswith(".js"))
    address = page.url.join(script)
    found = server.get(address)
    assert found.headers["content-type"].startswith("text/javascript")
    assert "immutable" in found.headers["cache-control"]
    again = server.get(address, headers={"If-None-Match": found.headers["etag"]})
    assert again.status_code == 304
    assert not again.content
    older = server.get(str(address).replace(site_files.fingerprint(), "0" * 16))
    assert older.content == found.content
    assert "immutable" not in older.headers["cache-control"]
    for name in ("nothing.js", "catalogue.html", "..%2Fsettings.py"):
        assert server.get(f"/site/{site_files.fingerprint()}/{name}").status_code == 404


def test_the_catalogue_says_what_each_model_is_for(server: httpx.Client) -> None:
    listing = server.get("/v1/catalogue").json()
    models = {each["name"]: each for each in listing["models"]}
    assert tuple(models) == NAMES
    assert listing["faults"] == {}
    loans = models["loans"]
    assert loans["question"] == "Would this applicant be granted a loan?"
    assert loans["track"] == "small"
    assert loans["metric"]["name"] == "accuracy"
    assert loans["metric"]["validation"] > loans["metric"]["baseline"]
    assert loans["metric"]["test"] > 0.7
    assert loans["picture"] is None
    for each in models.values():
        for path in each["links"].values():
            assert server.get(f"/{path.partition('#')[0]}").status_code == 200


def test_a_model_without_a_picture_of_its_own_shows_its_first_example(server: httpx.Client) -> None:
    path = _entry(server, "shapes")["picture"]
    picture = server.get(f"/{path}")
    assert picture.headers["content-type"] == "image/png"
    assert picture.content.startswith(b"\x89PNG")
    assert server.get("/v1/models/loans/picture").status_code == 404


def _entry(server: httpx.Client, name: str) -> dict:
    models = server.get("/v1/catalogue").json()["models"]
    return next(each for each in models if each["name"] == name)


def test_a_version_ships_a_picture(tmp_path: Path) -> None:
    from tests.services.predict.site.page_models import picture

    about = tmp_path / "artifacts" / "about"
    about.mkdir(parents=True)
    (about / "examples.json").write_text("[]")
    (about / "picture.png").write_bytes(b"<svg onload='alert(1)'>")
    assert catalogue.picture(tmp_path) is None
    other = tmp_path / "other"
    about.rename(tmp_path / "about")
    (other / "artifacts").mkdir(parents=True)
    (tmp_path / "about").rename(other / "artifacts" / "about")
    (other / "artifacts" / "about" / "picture.png").write_bytes(picture())
    found = catalogue.picture(other)
    assert found
    assert found.content == picture()


def test_links_name_the_services_that_listen(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server((home.LOOPBACK, 0)) as listening:
        port = listening.getsockname()[1]
        for name in ("mlflow", "monitor", "trainer", "explain", "prometheus", "alertmanager"):
            monkeypatch.setenv(f"SLIPWAY_{name.upper()}_PORT", str(home.free_port()))
        monkeypatch.setenv("SLIPWAY_MLFLOW_PORT", str(port))
        assert asyncio.run(platform_links(Settings())) == {"mlflow": f"http://127.0.0.1:{port}/"}
    assert asyncio.run(platform_links(Settings(host="0.0.0.0"))) == {}


def test_links_are_set_by_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLIPWAY_PREDICT_LINKS", '{"grafana": "https://grafana.example/"}')
    settings = Settings.from_environment()
    assert asyncio.run(platform_links(settings)) == {"grafana": "https://grafana.example/"}
    for wrong in ('{"grafana": "javascript:alert(1)"}', "grafana", '["https://a.example"]'):
        monkeypatch.setenv("SLIPWAY_PREDICT_LINKS", wrong)
        with pytest.raises(BadSettings, match="SLIPWAY_PREDICT_LINKS"):
            Settings.from_environment()


def palette(text: str) -> dict[str, str]:
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", text))


def luminance(color: str) -> float:
    """Return the relative luminance of a color, as WCAG 2.2 defines it."""
    parts = [int(color[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colors_have_contrast(scheme: str) -> None:
    light, _, rest = STYLE.partition("@media (prefers-color-scheme: dark)")
    colors = palette(light) | (palette(rest) if scheme == "dark" else {})
    for one, other, least in PAIRS:
        bright, dim = sorted((luminance(colors[one]), luminance(colors[other])), reverse=True)
        assert (bright + 0.05) / (dim + 0.05) >= least, f"{one} on {other} in {scheme}"
