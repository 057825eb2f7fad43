"""Each built page in headless Chromium: nothing in the console, no page wider than a phone; by `make docs`."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

PHONE = 390  # px
SECONDS = 60  # for the browser to start, and for a page to load
QUIET = (
    "--headless", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--remote-debugging-port=0",
    "--remote-allow-origins=*",
)  # fmt: skip


class Browser:
    """A tab of Chromium, over the DevTools protocol.

    Args:
        address: of the tab's socket.
    """

    def __init__(self, address: str) -> None:
        import websocket

        self.socket = websocket.create_connection(address, timeout=SECONDS, suppress_origin=True)
        self.number = 0
        self.events: list[dict[str, Any]] = []

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method and return its result; events that come meanwhile are kept."""
        self.number += 1
        self.socket.send(json.dumps({"id": self.number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self.socket.recv())
            if message.get("id") == self.number:
                assert "error" not in message, message
                return message["result"]
            self.events.append(message)

    def wait_for(self, method: str) -> None:
        """Read events until one of a method has come."""
        until = time.monotonic() + SECONDS
        while not any(event.get("method") == method for event in self.events):
            assert time.monotonic() < until, f"no {method} within {SECONDS} s"
            self.events.append(json.loads(self.socket.recv()))

    def open(self, address: str) -> list[str]:
        """Open a page; return what it complained of."""
        self.events.clear()
        self.call("Page.navigate", url=address)
        self.wait_for("Page.loadEventFired")
        self.call("Runtime.evaluate", expression="1")  # what the page logged before has come by then
        return [complaint for event in self.events if (complaint := complaint_of(event))]

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page."""
        return self.call("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")


def complaint_of(event: dict[str, Any]) -> str | None:
    """What an event says that went wrong, if it does."""
    found = event.get("params", {})
    if event.get("method") == "Runtime.exceptionThrown":
        return str(found["exceptionDetails"])
    if event.get("method") == "Runtime.consoleAPICalled" and found["type"] in ("error", "assert"):
        return str(found["args"])
    if event.get("method") == "Log.entryAdded" and found["entry"]["level"] == "error":
        return f"{found['entry']['text']} {found['entry'].get('url', '')}"
    return None


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Chromium with one tab as wide as a phone."""
    pytest.importorskip("websocket", reason="websocket-client, of the extra docs, speaks with the browser")
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        pytest.skip("neither chromium nor google-chrome is installed")
    profile = tmp_path_factory.mktemp("chromium")
    as_root = ["--no-sandbox"] if os.geteuid() == 0 else []
    process = subprocess.Popen(
        [program, *QUIET, *as_root, f"--user-data-dir={profile}", "about:blank"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        port = profile / "DevToolsActivePort"
        until = time.monotonic() + SECONDS
        while not (port.exists() and port.read_text().strip()):
            assert process.poll() is None, f"{program} ended with {process.returncode}"
            assert time.monotonic() < until, f"{program} has not opened its port within {SECONDS} s"
            time.sleep(0.05)
        tabs = f"http://127.0.0.1:{port.read_text().split()[0]}/json/list"
        with urllib.request.urlopen(tabs, timeout=SECONDS) as answer:
            tab = next(tab for tab in json.load(answer) if tab["type"] == "page")
        found = Browser(tab["webSocketDebuggerUrl"])
        for domain in ("Page", "Runtime", "Log"):
            found.call(f"{domain}.enable")
        found.call("Emulation.setDeviceMetricsOverride", width=PHONE, height=844, deviceScaleFactor=1, mobile=True)
        yield found
        found.socket.close()
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(SECONDS)
        process.kill()
        process.wait(SECONDS)


def test_the_browser_reports_errors_and_pages_that_are_too_wide(browser, tmp_path):
    """What the next test relies on: both kinds of fault are seen."""
    page = tmp_path / "bad.html"
    page.write_text(
        '<meta name="viewport" content="width=device-width"><p style="width: 900px">x</p><script>nothing.here</script>'
    )
    assert any("nothing" in complaint for complaint in browser.open(page.as_uri()))
    assert browser.evaluate("document.documentElement.scrollWidth") > PHONE
    page.write_text('<script>console.error("said so")</script><img src="absent.png" alt="none">')
    complaints = browser.open(page.as_uri())
    assert any("said so" in complaint for complaint in complaints)
    assert any("absent.png" in complaint for complaint in complaints)


def test_no_page_complains_or_is_wider_than_a_phone(browser, pages):
    faults = []
    for name, page in pages.items():
        faults += [f"{name}: {complaint}" for complaint in browser.open(Path(page.path).as_uri())]
        width = browser.evaluate("document.documentElement.scrollWidth")
        if width > PHONE:
            faults.append(f"{name}: {width} px wide, of {PHONE}")
        if not browser.evaluate("document.body.innerText.trim().length"):
            faults.append(f"{name}: empty")
    assert not faults, "\n".join(faults)
