"""
Find a Chromium for the browser tests; ``make test`` calls this before it needs one.

Playwright brings browsers of its own, but downloads them from a place that closed networks do not reach. The
system's package serves as well: where we may, we install it, else we say what to install.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PLACES = (Path("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"),)
HELP = """browser: no Chromium found, and the browser tests need one. Install it:
  Debian:         apt-get install chromium
  Fedora:         dnf install chromium
  macOS:          brew install --cask google-chrome
or name an installed one: export BROWSER_PATH=/path/to/chromium"""


def find_browser() -> str | None:
    """The program to start: ``BROWSER_PATH`` if set, else the first that is installed."""
    named = os.environ.get("BROWSER_PATH")
    if named:
        return shutil.which(named)
    found = (shutil.which(name) for name in NAMES)
    return next(filter(None, found), None) or next((str(place) for place in PLACES if place.exists()), None)


def install_browser() -> None:
    """Debian's package, as root; the package lists are fetched first: a new machine has none."""
    apt = ["apt-get", "--quiet", "--quiet"]
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    print("browser: installing Debian's chromium", file=sys.stderr)
    for command in (["update"], ["install", "--yes", "--no-install-recommends", "chromium"]):
        subprocess.run([*apt, *command], env=env, check=True, stdin=subprocess.DEVNULL, stdout=sys.stderr)


def main() -> int:
    """Print the browser's path; install it first where that is possible."""
    browser = find_browser()
    may_install = os.geteuid() == 0 and shutil.which("apt-get") and not os.environ.get("BROWSER_PATH")
    if browser is None and may_install:
        try:
            install_browser()
        except subprocess.CalledProcessError as error:
            print(f"browser: apt-get ended with exit code {error.returncode}", file=sys.stderr)
        browser = find_browser()
    if browser is None:
        print(HELP, file=sys.stderr)
        return 1
    print(browser)
    return 0


if __name__ == "__main__":
    sys.exit(main())
