"""Headless Chromium in a test: open a page, run JavaScript in it, press keys, look at it.

    with browser(program("chromium"), tmp_path / "profile") as page:
        page.open("http://127.0.0.1:8000/")
        page.wait_for("document.title === 'ready'")

Spoken over Chromium's own pipe (--remote-debugging-pipe), so that no port is opened and no other package is needed.
"""

import base64
import fcntl
import json
import os
import select
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

WAIT_S = 30
_FLAGS = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
_FLAGS += " --disable-component-update --disable-sync --disable-dev-shm-usage --remote-debugging-pipe"
# A script: the contrast of every text that is shown, by the formula of WCAG 2.2.
CONTRASTS = """(() => {
  const channels = (color) => color.match(/[\\d.]+/g).map(Number);
  const linear = (c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
  const luminance = ([r, g, b]) => 0.2126 * linear(r / 255) + 0.7152 * linear(g / 255) + 0.0722 * linear(b / 255);
  const ground = (it) => {
    const [r, g, b, alpha = 1] = channels(getComputedStyle(it).backgroundColor);
    return alpha === 0 ? ground(it.parentElement) : [r, g, b];
  };
  const all = [...document.querySelectorAll("body *")].filter((it) => it.checkVisibility());
  const shown = all.filter((it) => [...it.childNodes].some((node) => node.nodeType === 3 && node.data.trim()));
  return shown.filter((it) => !it.closest("svg")).map((it) => {
    const pair = [luminance(channels(getComputedStyle(it).color)), luminance(ground(it))];
    return (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
  });
})()"""


class PageError(AssertionError):
    """What Chromium refused, or an exception of the page's JavaScript."""


class Page:
    """One tab. `events` holds what Chromium has told of it: network requests, exceptions and log lines."""

    def __init__(self, to_chromium: int, from_chromium: int) -> None:
        self._to, self._from = to_chromium, from_chromium
        self._session: str | None = None
        self._number = 0
        self._unread = b""
        self.events: list[dict[str, Any]] = []

    def attach(self) -> None:
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.send(f"{domain}.enable")

    def open(self, url: str) -> None:
        """Go there, and wait until the page has loaded.

        Raises:
            PageError: when it cannot be reached.
        """
        self.events.clear()
        problem = self.send("Page.navigate", url=url).get("errorText")
        if problem:
            raise PageError(f"{url}: {problem}")
        self.wait_for("document.readyState === 'complete'")

    def run(self, script: str) -> Any:
        """The value of an expression in the page, as JSON; a promise is waited for.

        Raises:
            PageError: when it throws.
        """
        answer = self.send("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            details = answer["exceptionDetails"]
            raise PageError(details.get("exception", {}).get("description") or details["text"])
        return answer["result"].get("value")

    def wait_for(self, condition: str) -> None:
        """Until a JavaScript expression is true."""
        self._until(lambda: self.run(f"Boolean({condition})"), condition)

    def press(self, key: str) -> None:
        """One key, such as "1", "u", "Enter" or "Tab", down and up, where the focus is."""
        known = {"Enter": ("\r", 13), "Tab": ("", 9), "Escape": ("", 27), " ": (" ", 32)}
        text, code = known.get(key, (key, ord(key.upper()[0])))
        what = {"key": key, "windowsVirtualKeyCode": code}
        down = {"type": "keyDown", "text": text} if text else {"type": "rawKeyDown"}
        self.send("Input.dispatchKeyEvent", **what, **down)
        self.send("Input.dispatchKeyEvent", **what, type="keyUp")

    def screen(self, width: int, height: int, *, dark: bool = False) -> None:
        """How large the window is in CSS pixels, narrower than a real one if need be; and which theme is asked for."""
        self.send(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        theme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.send("Emulation.setEmulatedMedia", features=[theme])

    def screenshot(self, path: Path, *, whole: bool = False) -> Path:
        """A PNG of what is seen, or of the `whole` page."""
        data = self.send("Page.captureScreenshot", format="png", captureBeyondViewport=whole)["data"]
        path.write_bytes(base64.b64decode(data))
        return path

    def requested(self) -> list[str]:
        """The URLs that the page has asked for since it was opened, itself included; without data: URLs."""
        self.run("0")  # so that what was told until now has been read
        sent = [event["params"]["request"]["url"] for event in self.events if event["method"].endswith("BeSent")]
        return [url for url in sent if not url.startswith("data:")]

    def complaints(self) -> list[str]:
        """Exceptions and errors that the page left in the console."""
        self.run("0")
        thrown = [
            event["params"]["exceptionDetails"] for event in self.events if event["method"] == "Runtime.exceptionThrown"
        ]
        logged = [event["params"]["entry"] for event in self.events if event["method"] == "Log.entryAdded"]
        return [
            *(it.get("exception", {}).get("description") or it["text"] for it in thrown),
            *(entry["text"] for entry in logged if entry["level"] == "error"),
        ]

    def send(self, method: str, **params: Any) -> dict[str, Any]:
        """A command of the Chrome DevTools Protocol, and its result.

        Raises:
            PageError: when Chromium refuses it, or does not answer.
        """
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise PageError(f"{method}: {answer['error']['message']}")
                return answer["result"]
            if "method" in answer:
                self.events.append(answer)

    def _read(self) -> dict[str, Any]:
        end = time.monotonic() + WAIT_S
        while b"\0" not in self._unread:
            readable, _, _ = select.select([self._from], [], [], max(0, end - time.monotonic()))
            data = os.read(self._from, 1 << 20) if readable else b""
            if not data:
                raise PageError("Chromium has ended" if readable else f"Chromium said nothing for {WAIT_S} s")
            self._unread += data
        line, _, self._unread = self._unread.partition(b"\0")
        return json.loads(line)

    def _until(self, is_so: Any, what: str) -> None:
        end = time.monotonic() + WAIT_S
        while not is_so():
            if time.monotonic() > end:
                raise PageError(f"waited {WAIT_S} s in vain for: {what}")
            time.sleep(0.02)
            self.run("0")  # so that events are read


@contextmanager
def browser(chromium: str, profile: Path) -> Iterator[Page]:
    """One tab of a Chromium of its own, 1280 × 900, whose profile is in a new folder `profile`."""
    (theirs_in, ours_out), (ours_in, theirs_out) = os.pipe(), os.pipe()
    # Chromium takes its pipe at 3 and 4; from numbers above those, or one would be overwritten by the other.
    theirs_in, theirs_out = (_moved(number) for number in (theirs_in, theirs_out))
    command = ["bash", "-c", f'exec "$@" 3<&{theirs_in} 4>&{theirs_out}', "bash"]
    command += [chromium, *_FLAGS.split(), f"--user-data-dir={profile}"]
    with (profile.parent / f"{profile.name}.log").open("wb") as log:
        process = subprocess.Popen(command, pass_fds=(theirs_in, theirs_out), stdout=log, stderr=log)
    os.close(theirs_in)
    os.close(theirs_out)
    try:
        page = Page(ours_out, ours_in)
        page.attach()
        page.screen(1280, 900)
        yield page
    finally:
        os.close(ours_out)  # which ends it
        try:
            process.wait(WAIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        os.close(ours_in)


def _moved(descriptor: int) -> int:
    copy = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 10)
    os.close(descriptor)
    return copy
