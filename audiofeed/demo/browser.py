"""The browser that shows the demo's report, where there is somebody to see it."""

from __future__ import annotations

import os
import sys
import webbrowser
from collections.abc import Mapping
from pathlib import Path

# set by the machines that run tests, and by those that one works on from afar
_ELSEWHERE = ("CI", "SSH_CONNECTION", "SSH_CLIENT", "SSH_TTY")


def show_page(path: Path) -> bool:
    """Show the demo's page in a browser that runs beside the terminal, and return whether one was started.

    Args:
        path: The page.
    """
    if not has_viewer(os.environ, sys.platform, sys.stdin.isatty() and sys.stdout.isatty()):
        return False
    try:
        browser = webbrowser.get()
    except webbrowser.Error:
        return False
    # a browser of text would take the terminal
    if type(browser) is webbrowser.GenericBrowser:
        return False
    return browser.open(path.resolve().as_uri())


def has_viewer(environment: Mapping[str, str], platform: str, is_terminal: bool) -> bool:
    """Return whether somebody sits before this machine who can be shown the demo's page.

    Args:
        environment: The process's.
        platform: As `sys.platform`.
        is_terminal: Whether the command was typed in a terminal, and prints to it.

    >>> has_viewer({"DISPLAY": ":0"}, "linux", True), has_viewer({"DISPLAY": ":0", "CI": "1"}, "linux", True)
    (True, False)
    """
    if not is_terminal or any(environment.get(name) for name in _ELSEWHERE):
        return False
    return platform in ("win32", "darwin") or any(environment.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
