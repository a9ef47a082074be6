"""Links from the catalogue to the platform's other pages."""

import asyncio
from contextlib import suppress
from urllib.parse import urlsplit

from services.predict.settings import Settings
from slipway import home

# Pages that a browser can open, by service.
PAGES = ("mlflow", "monitor", "trainer", "explain", "prometheus", "alertmanager")
CONNECT_SECONDS = 0.2


async def platform_links(settings: Settings) -> dict[str, str]:
    """Return the addresses of the platform's pages by service.

    These are those of the settings. Without them, a server on loopback names the services that
    listen at their usual ports of this machine now.
    """
    if settings.links:
        return settings.links
    if not home.on_loopback(settings.host):
        return {}
    found = {name: f"http://{home.LOOPBACK}:{home.port(name)}/" for name in PAGES}
    listening = await asyncio.gather(*(_listens(address) for address in found.values()))
    return {name: found[name] for name, up in zip(found, listening, strict=True) if up}


async def _listens(address: str) -> bool:
    parts = urlsplit(address)
    with suppress(OSError, TimeoutError):
        connecting = asyncio.open_connection(parts.hostname, parts.port)
        _, writer = await asyncio.wait_for(connecting, CONNECT_SECONDS)
        writer.close()
        return True
    return False
