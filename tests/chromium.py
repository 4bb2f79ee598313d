"""A headless Chromium that is told what to do through a pipe: the DevTools protocol without any package for it."""

from __future__ import annotations

import base64
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
    # Tests run as root in containers, whose /dev/shm is small; the page that is opened is our own.
    *("--no-sandbox", "--disable-dev-shm-usage", "--mute-audio", "--hide-scrollbars"),
)
READ, WRITE = 3, 4
"""The descriptors that `--remote-debugging-pipe` reads commands from and writes replies to."""


def find_browser() -> str | None:
    """The path of a Chromium of this machine; `BROWSER_PATH` goes first."""
    named = os.environ.get("BROWSER_PATH")
    return named or next((path for name in NAMES if (path := shutil.which(name))), None)


class Browser:
    """One page of a running browser. What it asked for and complained of is in `requests` and `errors`."""

    def __init__(self, commands: int, replies: int, timeout: float = 60.0) -> None:
        self._commands, self._replies, self._timeout = commands, replies, timeout
        self._buffer, self._number = b"", 0
        self._session: str | None = None
        self.requests: list[str] = []
        self.errors: list[str] = []
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command and wait for its result."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while True:
            reply = self._receive()
            if reply.get("id") == self._number:
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
        """The value of an expression of JavaScript; a promise is waited for."""
        found = self.send(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True, userGesture=True
        )
        if "exceptionDetails" in found:
            raise RuntimeError(found["exceptionDetails"]["exception"].get("description", "error"))
        return found["result"].get("value")

    def settle(self) -> None:
        """Wait until what has changed is drawn."""
        self.run("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def resize(self, width: int, height: int = 900, *, dark: bool = False) -> None:
        """Be a window of this size, in CSS pixels."""
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        motion = {"name": "prefers-reduced-motion", "value": "reduce"}
        self.send("Emulation.setEmulatedMedia", features=[scheme, motion])
        self.settle()

    def press(self, key: str) -> None:
        """Press a key and let it go."""
        text = {"Enter": "\r", "Space": " "}.get(key, "")
        name = " " if key == "Space" else key
        code = {"Enter": 13, "Space": 32, "ArrowLeft": 37, "ArrowRight": 39, "Home": 36, "End": 35}[key]
        for kind in ("keyDown", "keyUp"):
            self.send("Input.dispatchKeyEvent", type=kind, key=name, code=key, windowsVirtualKeyCode=code, text=text)

    def picture(self, path: Path, *, whole: bool = True) -> None:
        """Write what is seen, or the whole page, as a PNG."""
        found = self.send("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(found["data"]))

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
        if "method" in message:
            self._note(message)
        return message

    def _note(self, event: dict[str, Any]) -> None:
        details = event.get("params", {})
        if event["method"] == "Network.requestWillBeSent":
            self.requests.append(details["request"]["url"])
        elif event["method"] == "Runtime.exceptionThrown":
            self.errors.append(str(details["exceptionDetails"]))
        elif event["method"] == "Runtime.consoleAPICalled" and details["type"] in ("error", "warning", "assert"):
            self.errors.append(str(details["args"]))
        elif event["method"] == "Log.entryAdded" and details["entry"]["level"] in ("error", "warning"):
            self.errors.append(details["entry"]["text"])


@contextmanager
def running(path: str, profile: Path) -> Iterator[Browser]:
    """A browser with an empty profile that ends with the block."""
    their_read, commands = os.pipe()
    replies, their_write = os.pipe()
    # Out of the way of 3 and 4, which the child gets.
    ours = [os.dup(descriptor) for descriptor in (their_read, their_write)]

    def connect() -> None:
        high = [os.dup2(descriptor, 90 + i) for i, descriptor in enumerate(ours)]
        os.dup2(high[0], READ, inheritable=True)
        os.dup2(high[1], WRITE, inheritable=True)

    process = subprocess.Popen(
        [path, *OPTIONS, f"--user-data-dir={profile}", "about:blank"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=connect,
        pass_fds=(READ, WRITE),
    )
    for descriptor in (their_read, their_write, *ours):
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
