"""A real browser, Debian's Chromium without a window, driven over the DevTools protocol."""

import base64
import itertools
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

from tests.waiting import until

START_SECONDS = 60.0
WAIT_SECONDS = 30.0
OPTIONS = (
    "--headless=new",
    "--remote-debugging-port=0",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--mute-audio",
    # A camera and a microphone that show and play a test pattern.
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
    "--force-color-profile=srgb",
)


class Tab:
    """One page of the browser. `complaints` are its console errors and broken policies."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self.complaints: list[str] = []
        for domain in ("Page", "Runtime", "Log", "Audits"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command of the DevTools protocol and return its result."""
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._socket.recv(timeout=WAIT_SECONDS))
            if message.get("id") == number:
                assert "error" not in message, f"{method}: {message['error']}"
                result: dict[str, Any] = message["result"]
                return result
            self._note(message)

    def _note(self, event: dict[str, Any]) -> None:
        content = event.get("params", {})
        match event.get("method"):
            case "Runtime.exceptionThrown":
                details = content["exceptionDetails"]
                self.complaints.append(str(details.get("exception", details))[:400])
            case "Runtime.consoleAPICalled" if content["type"] in ("error", "assert"):
                self.complaints.append(str(content["args"])[:400])
            case "Log.entryAdded" if content["entry"]["level"] == "error":
                self.complaints.append(f"{content['entry']['text']} {content['entry'].get('url')}")
            case "Audits.issueAdded" if "Policy" in content["issue"]["code"]:
                self.complaints.append(json.dumps(content["issue"])[:400])

    def resize(self, width: int, height: int = 900, *, dark: bool = False) -> None:
        """Take the size of a screen, and prefer light or dark colors."""
        self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.send("Emulation.setEmulatedMedia", features=[scheme])

    def open(self, address: str) -> None:
        """Load a page; wait until its scripts have filled it."""
        self.send("Page.navigate", url=address)
        self.wait("document.readyState === 'complete' && location.href !== 'about:blank'")

    def run(self, script: str) -> Any:
        """Return the value of a JavaScript expression; promises are awaited."""
        answer = self.send(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in answer, f"{script}: {answer['exceptionDetails']}"
        return answer["result"].get("value")

    def wait(self, script: str) -> None:
        """Wait until a JavaScript expression is true."""
        until(
            lambda: self.run(f"Boolean({script})"),
            lambda: f"{script}\n{self.complaints}\n{self.run('document.body.innerText')[:2000]}",
            seconds=WAIT_SECONDS,
        )

    def click(self, selector: str) -> None:
        """Click the first element that fits, like a mouse."""
        self.wait(f"document.querySelector({selector!r})")
        # Pictures and videos that load meanwhile move what is below them.
        settled = (
            f"(async (each) => {{ each.scrollIntoView({{block: 'center'}});"
            " const at = () => (({x, y, width, height}) => [x + width / 2, y + height / 2])"
            "(each.getBoundingClientRect()); let before = at();"
            " for (let still = 0; still < 3;) { await new Promise(requestAnimationFrame);"
            " const now = at(); still = String(now) === String(before) ? still + 1 : 0;"
            f" before = now; }} return before; }})(document.querySelector({selector!r}))"
        )
        box = self.run(settled)
        self.mouse("mousePressed", *box)
        self.mouse("mouseReleased", *box)

    def mouse(self, kind: str, x: float, y: float) -> None:
        """Press, move or release the left button at a place of the window."""
        self.send(
            "Input.dispatchMouseEvent",
            type=kind,
            x=x,
            y=y,
            button="left",
            buttons=int(kind != "mouseReleased"),
            clickCount=1,
        )

    def text(self, selector: str = "body") -> str:
        """Return the visible text of the first element that fits, empty if none does."""
        return str(self.run(f"document.querySelector({selector!r})?.innerText ?? ''"))

    def screenshot(self, file: Path, *, whole: bool = True) -> None:
        """Write a PNG of the page."""
        size = self.send("Page.getLayoutMetrics")["cssContentSize"]
        more: dict[str, Any] = {}
        if whole:
            clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
            more = {"clip": clip, "captureBeyondViewport": True}
        shot = self.send("Page.captureScreenshot", format="png", **more)
        file.write_bytes(base64.b64decode(shot["data"]))


class Browser:
    """A running Chromium."""

    def __init__(self, port: int) -> None:
        self._port = port

    @contextmanager
    def tab(self) -> Iterator[Tab]:
        """Open a tab of its own, without the cookies or the storage of another."""
        with connect(self._address("version"), max_size=None) as control:
            browser = Tab.__new__(Tab)
            browser._socket, browser._numbers, browser.complaints = control, itertools.count(1), []
            context = browser.send("Target.createBrowserContext")["browserContextId"]
            target = browser.send(
                "Target.createTarget", url="about:blank", browserContextId=context
            )["targetId"]
            address = f"ws://127.0.0.1:{self._port}/devtools/page/{target}"
            try:
                with connect(address, max_size=None) as socket:
                    yield Tab(socket)
            finally:
                browser.send("Target.disposeBrowserContext", browserContextId=context)

    def _address(self, what: str) -> str:
        import httpx

        found = httpx.get(f"http://127.0.0.1:{self._port}/json/{what}", trust_env=False).json()
        return str(found["webSocketDebuggerUrl"])


@contextmanager
def chromium(program: Path) -> Iterator[Browser]:
    """Run Chromium until the block ends."""
    profile = Path(tempfile.mkdtemp(prefix="chromium-"))
    options = [*OPTIONS, f"--user-data-dir={profile}"]
    if os.geteuid() == 0:
        # Chromium's sandbox refuses to run as root, as in most containers.
        options.append("--no-sandbox")
    log = (profile / "chromium.log").open("wb")
    process = subprocess.Popen(
        [program, *options, "about:blank"],
        stdout=log,
        stderr=log,
        env={**os.environ, "HOME": str(profile)},
        start_new_session=True,
    )
    port = profile / "DevToolsActivePort"
    try:
        until(
            lambda: port.is_file() and port.read_text().strip(),
            lambda: (profile / "chromium.log").read_text(errors="replace")[-2000:],
            seconds=START_SECONDS,
        )
        yield Browser(int(port.read_text().split()[0]))
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        log.close()
        _remove(profile)


def _remove(folder: Path) -> None:
    """Remove the profile; Chromium's helpers may still write into it for a moment."""
    for _ in range(20):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(0.1)
