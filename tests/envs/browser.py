"""A headless Chromium, driven by its DevTools protocol over a pipe: JSON messages, each ended by a zero byte."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
PATIENCE = 60.0  # seconds for any one answer; a slow machine is no fault of the page


def chromium() -> str:
    """Path of an installed Chromium; without one the test is skipped."""
    for name in NAMES:
        if found := shutil.which(name):
            return found
    pytest.skip(f"no browser to open the page with: none of {', '.join(NAMES)} is installed")


class Browser:
    """One page of one size. `requests` and `errors` fill while it is open."""

    def __init__(self, width: int = 1280, height: int = 800, mobile: bool = False, dark: bool = False) -> None:
        self.profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        to_read, self._write = os.pipe()
        self._read, to_write = os.pipe()
        # the browser reads from 3 and writes to 4; pipes that are 3 or 4 themselves are moved out of the way first
        ends = [fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (to_read, to_write)]

        def place() -> None:
            os.dup2(ends[0], 3)
            os.dup2(ends[1], 4)

        self.process = subprocess.Popen(
            [chromium(), "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
             "--hide-scrollbars", "--remote-debugging-pipe", f"--user-data-dir={self.profile.name}", "about:blank"],
            preexec_fn=place, pass_fds=(3, 4), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL)
        for end in (to_read, to_write, *ends):
            os.close(end)
        self._left, self._number, self._session = b"", 0, ""
        self.requests: list[str] = []
        self.errors: list[str] = []
        page = next(one for one in self._call("Target.getTargets")["targetInfos"] if one["type"] == "page")
        self._session = self._call("Target.attachToTarget", targetId=page["targetId"], flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self._call(f"{domain}.enable")
        self._call("Emulation.setDeviceMetricsOverride", width=width, height=height, mobile=mobile,
                   deviceScaleFactor=2 if mobile else 1)
        self._call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme",
                                                           "value": "dark" if dark else "light"}])

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        os.close(self._read)
        os.close(self._write)
        self.profile.cleanup()

    def _message(self, deadline: float) -> dict[str, Any]:
        while b"\0" not in self._left:
            if not select.select([self._read], [], [], max(deadline - time.monotonic(), 0.0))[0]:
                raise TimeoutError("the browser gave no answer")
            more = os.read(self._read, 1 << 16)
            if not more:
                raise RuntimeError(f"the browser ended, status {self.process.poll()}")
            self._left += more
        raw, self._left = self._left.split(b"\0", 1)
        message = json.loads(raw)
        method, said = message.get("method"), message.get("params", {})
        if method == "Network.requestWillBeSent":
            self.requests.append(said["request"]["url"])
        elif method == "Runtime.exceptionThrown":
            details = said["exceptionDetails"]
            self.errors.append(details.get("exception", {}).get("description", details["text"]))
        elif method == "Runtime.consoleAPICalled" and said["type"] in ("error", "warning", "assert"):
            self.errors.append(str(said["args"]))
        elif method == "Log.entryAdded" and said["entry"]["level"] in ("error", "warning"):
            self.errors.append(said["entry"]["text"])
        return message

    def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        number, deadline = self._number, time.monotonic() + PATIENCE
        session = {"sessionId": self._session} if self._session else {}
        raw = json.dumps({"id": number, "method": method, "params": parameters, **session}).encode() + b"\0"
        while raw:
            raw = raw[os.write(self._write, raw):]
        while True:
            message = self._message(deadline)
            if message.get("id") == number:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']['message']}")
                return message["result"]

    def open(self, path: Path, ready: str = "window.replay !== undefined") -> None:
        self._call("Page.navigate", url=path.resolve().as_uri())
        self.wait_for(f"document.readyState === 'complete' && {ready}")

    def ask(self, expression: str) -> Any:
        """What a JavaScript expression comes to."""
        answer = self._call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(answer["exceptionDetails"]["exception"]["description"])
        return answer["result"].get("value")

    def wait_for(self, expression: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while not self.ask(expression):
            if time.monotonic() > deadline:
                raise TimeoutError(f"never came true: {expression}; errors: {self.errors}")
            time.sleep(0.02)

    def settle(self) -> None:
        """Two frames later, what was asked for is drawn."""
        self.ask("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(1))))")

    def press(self, key: str, shift: bool = False) -> None:
        for kind in ("keyDown", "keyUp"):
            self._call("Input.dispatchKeyEvent", type=kind, key=key, modifiers=8 if shift else 0,
                       **({"text": key} if len(key) == 1 and kind == "keyDown" else {}))
        self.settle()

    def mouse(self, kind: str, x: float, y: float, **more: Any) -> None:
        """`kind`: moved, pressed, released or wheel (with deltaX, deltaY); `x`, `y` in pixels of the page."""
        button = {"button": "left", "clickCount": 1} if kind in ("pressed", "released") else {}
        held = {"button": "left", "buttons": 1} if more.pop("held", False) else {}
        name = "mouseWheel" if kind == "wheel" else f"mouse{kind.capitalize()}"
        self._call("Input.dispatchMouseEvent", type=name, x=x, y=y, **button, **held, **more)
        self.settle()

    def touch(self, kind: str, *places: tuple[float, float]) -> None:
        """`kind`: Start, Move or End."""
        self._call("Input.dispatchTouchEvent", type=f"touch{kind}",
                   touchPoints=[{"x": x, "y": y, "id": i} for i, (x, y) in enumerate(places)])
        self.settle()

    def screenshot(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self._call("Page.captureScreenshot", format="png")["data"]))


