"""A headless Chromium, controlled through a pipe by the DevTools protocol without any package for it."""

from __future__ import annotations

import fcntl
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
OPTIONS = (
    *("--headless=new", "--remote-debugging-pipe", "--no-first-run", "--no-default-browser-check", "--disable-gpu"),
    *("--disable-extensions", "--disable-background-networking", "--disable-component-update", "--disable-sync"),
    # Tests run as root in containers, whose /dev/shm is small; the page is our own.
    *("--no-sandbox", "--disable-dev-shm-usage", "--mute-audio", "--hide-scrollbars"),
)
KEYS = {"Enter": 13, "Space": 32, "ArrowRight": 39, "Home": 36}


def find_browser() -> str | None:
    """Return the path of a Chromium of this machine; `BROWSER_PATH` takes precedence."""
    return os.environ.get("BROWSER_PATH") or next(filter(None, map(shutil.which, NAMES)), None)


class Browser:
    """One page of a running browser, with its network requests and its errors."""

    def __init__(self, commands: int, replies: int, timeout: float = 60.0) -> None:
        self._commands, self._replies, self._timeout = commands, replies, timeout
        self._buffer, self._number = b"", 0
        self._session: dict[str, str] = {}
        self.requests: list[str] = []
        self.errors: list[str] = []
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self._session = {"sessionId": self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]}
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command and wait for its result."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters, **self._session}
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while (reply := self._receive()).get("id") != self._number:
            pass
        if "error" in reply:
            raise RuntimeError(f"{method}: {reply['error']}")
        return reply["result"]

    def open(self, path: Path, fragment: str = "") -> None:
        """Open a file and wait until it is loaded."""
        self.send("Page.navigate", url="about:blank")  # else another fragment of the same file would load nothing
        self.send("Page.navigate", url=path.resolve().as_uri() + fragment)
        while self.run("location.protocol + document.readyState") != "file:complete":
            self._receive()
        self.settle()

    def run(self, script: str) -> Any:
        """Return the value of an expression of JavaScript, or of its promise."""
        options = {"awaitPromise": True, "returnByValue": True, "userGesture": True}
        found = self.send("Runtime.evaluate", expression=script, **options)
        if "exceptionDetails" in found:
            raise RuntimeError(found["exceptionDetails"]["exception"].get("description", "error"))
        return found["result"].get("value")

    def text(self, selector: str) -> str:
        """Return the text of an element."""
        return str(self.run(f"document.querySelector({selector!r}).textContent"))

    def settle(self) -> None:
        """Wait until all changes are drawn."""
        self.run("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def resize(self, width: int, *, dark: bool = False) -> None:
        """Set the width of the window, in CSS pixels, and the colour scheme."""
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        motion = {"name": "prefers-reduced-motion", "value": "reduce"}
        self.send("Emulation.setEmulatedMedia", features=[scheme, motion])
        self.settle()

    def press(self, key: str) -> None:
        """Press and release a key."""
        names = {"key": " " if key == "Space" else key, "code": key, "windowsVirtualKeyCode": KEYS[key]}
        for kind in ("keyDown", "keyUp"):
            text = {"Enter": "\r", "Space": " "}.get(key, "")
            self.send("Input.dispatchKeyEvent", type=kind, text=text, **names)

    def _receive(self) -> dict[str, Any]:
        end = time.monotonic() + self._timeout
        while b"\0" not in self._buffer:
            if not select.select([self._replies], [], [], max(end - time.monotonic(), 0))[0]:
                raise TimeoutError("the browser does not answer")
            piece = os.read(self._replies, 2**16)
            if not piece:
                raise RuntimeError("the browser ended")
            self._buffer += piece
        text, self._buffer = self._buffer.split(b"\0", 1)
        message: dict[str, Any] = json.loads(text)
        details = message.get("params", {})
        match message.get("method"):
            case "Network.requestWillBeSent":
                self.requests.append(details["request"]["url"])
            case "Runtime.exceptionThrown":
                self.errors.append(str(details["exceptionDetails"]))
            case "Runtime.consoleAPICalled" if details["type"] in ("error", "warning", "assert"):
                self.errors.append(str(details["args"]))
            case "Log.entryAdded" if details["entry"]["level"] in ("error", "warning"):
                self.errors.append(details["entry"]["text"])
        return message


@contextmanager
def running(path: str, profile: Path) -> Iterator[Browser]:
    """A browser with an empty profile that ends with the block.

    It reads commands from descriptor 3 and writes replies to descriptor 4.
    """
    (their_read, commands), (replies, their_write) = os.pipe(), os.pipe()
    theirs = [fcntl.fcntl(descriptor, fcntl.F_DUPFD, 10) for descriptor in (their_read, their_write)]
    process = subprocess.Popen(
        [path, *OPTIONS, f"--user-data-dir={profile}", "about:blank"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=lambda: [os.dup2(descriptor, number) for number, descriptor in enumerate(theirs, start=3)],
        pass_fds=(3, 4),
    )
    for descriptor in (their_read, their_write, *theirs):
        os.close(descriptor)
    try:
        yield Browser(commands, replies)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        os.close(commands)
        os.close(replies)
