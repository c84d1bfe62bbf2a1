"""
Build ``.venv`` from the pinned files; ``make setup`` runs this with any Python 3.11.

Uses the standard library only, for nothing else is installed yet. What a finished environment was made from
is written into a stamp, last of all: a second call compares the stamp and ends at once. A call that was
interrupted leaves a mark, and the next one starts from an empty ``.venv``: half a package looks installed to
every installer.

Mirrors, proxies and caches are the user's business: pip's, uv's and npm's own variables and configuration
apply.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# What the environment is made from; a change in any of them builds it anew.
PIN_FILES = (
    "constraints.txt",
    "pyproject.toml",
    "tests/emulators/package-lock.json",
    "tools/setup.py",
)
# Installed: 2.7 GB. The rest is for downloads, which the package managers keep in their caches.
NEEDED_BYTES = 4 * 1024**3
# Less than this after a failed step, and the disk is the likely reason.
FULL_BYTES = 200 * 1024**2


class SetupError(Exception):
    """Set-up cannot go on; the text says what a person has to do."""


def main() -> int:
    """Build or repair the environment; 0 when it is complete."""
    try:
        with only_one(ROOT):
            Setup(ROOT).run()
    except SetupError as error:
        print(f"setup: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("setup: interrupted; the next call starts afresh", file=sys.stderr)
        return 130
    return 0


class Setup:
    """
    One environment below one project root.

    :param root: the project; ``.venv`` is made inside.
    :param needed_bytes: free space to insist on before anything is installed.
    """

    def __init__(self, root: Path, *, needed_bytes: int = NEEDED_BYTES) -> None:
        self.root = root
        self.venv = root / ".venv"
        self.python = self.venv / "bin" / "python"
        self.stamp = self.venv / "interchange-setup"
        self.unfinished = self.venv / "interchange-setup-unfinished"
        self.needed_bytes = needed_bytes

    def run(self) -> None:
        """Do what is missing, or nothing."""
        if self.is_complete():
            return
        started = time.monotonic()
        self.discard_incomplete()
        self.check_disk()
        self.make_venv()
        self.unfinished.touch()
        self.stamp.unlink(missing_ok=True)
        self.install_packages()
        self.install_emulators()
        # The stamp first: between the two lines there is a complete environment with a mark, never the
        # reverse.
        self.stamp.write_text(self.fingerprint())
        self.unfinished.unlink()
        print(f"setup: .venv is ready ({time.monotonic() - started:.0f} s)")

    def is_complete(self) -> bool:
        """Whether ``.venv`` was finished from exactly these pin files and still runs."""
        return (
            not self.unfinished.exists()
            and self.stamp.is_file()
            and self.stamp.read_text() == self.fingerprint()
            and self.python_runs()
        )

    def fingerprint(self) -> str:
        """What the environment depends on: pin files, interpreter, and its place (scripts contain it)."""
        digest = hashlib.sha256()
        for name in PIN_FILES:
            digest.update(name.encode() + b"\0" + (self.root / name).read_bytes() + b"\0")
        digest.update(f"{platform.python_version()} {platform.machine()} {self.venv}".encode())
        return digest.hexdigest()

    def python_runs(self) -> bool:
        """False for a ``.venv`` whose interpreter is gone, say after a system upgrade."""
        command = [str(self.python), "-c", "import sys; raise SystemExit(sys.version_info[:2] != (3, 11))"]
        try:
            return subprocess.run(command, check=False, capture_output=True).returncode == 0
        except OSError:
            return False

    def check_disk(self) -> None:
        """:raises SetupError: if the environment would not fit."""
        free = shutil.disk_usage(self.root).free
        if not self.venv.exists() and free < self.needed_bytes:
            raise SetupError(
                f"{_gigabytes(free)} free where {self.root} lies, {_gigabytes(self.needed_bytes)} needed. "
                "Free some space, then call make again."
            )

    def discard_incomplete(self) -> None:
        """Remove a ``.venv`` that was never finished or no longer runs; one of older pins is kept."""
        if self.stamp.exists() and not self.unfinished.exists() and self.python_runs():
            return
        if self.venv.exists():
            print("setup: the .venv found here is incomplete; building it anew")
            shutil.rmtree(self.venv)

    def make_venv(self) -> None:
        """An empty virtual environment, unless there is one."""
        if self.venv.exists():
            return
        self.venv.mkdir()
        self.unfinished.touch()
        self.call("the virtual environment could not be made", [sys.executable, "-m", "venv", str(self.venv)])

    def install_packages(self) -> None:
        """The locked set, nothing more, and this package in editable form."""
        lock = self.root / "constraints.txt"
        text = lock.read_text()
        print(f"setup: installing {_count(text)} packages into .venv")
        pip = [str(self.python), "-m", "pip", "install", "--quiet"]
        self.call("pip could not install uv", [*pip, f"uv=={_pinned('uv', text)}"])
        uv = [str(self.venv / "bin" / "uv"), "pip"]
        # A progress bar for a person, silence for a log.
        options = ["--python", str(self.python), *([] if sys.stderr.isatty() else ["--quiet"])]
        self.call("the packages could not be installed", [*uv, "sync", *options, str(lock)])
        # The build tool is part of the locked set: nothing is fetched to build the package.
        editable = ["--no-deps", "--no-build-isolation", "--editable", str(self.root)]
        self.call("the package itself could not be installed", [*uv, "install", *options, *editable])

    def install_emulators(self) -> None:
        """Azurite, by the npm that came with the packages."""
        source = self.root / "tests" / "emulators"
        folder = self.venv / "emulators"
        lock = folder / "package-lock.json"
        azurite = folder / "node_modules" / ".bin" / "azurite-blob"
        # npm would remove and install everything again. What is there is whole: see discard_incomplete().
        if azurite.exists() and lock.read_bytes() == (source / lock.name).read_bytes():
            return
        folder.mkdir(exist_ok=True)
        for name in ("package.json", lock.name):
            shutil.copyfile(source / name, folder / name)
        print("setup: installing Azurite into .venv/emulators")
        npm = [str(self.venv / "bin" / "npm"), "ci", "--ignore-scripts"]
        npm += ["--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error"]
        # The wheel's own node must come first on PATH: npm starts "node" by name.
        path = f"{self.venv / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}"
        self.call("npm could not install Azurite", npm, cwd=folder, env={**os.environ, "PATH": path})

    def call(
        self,
        failure: str,
        command: Sequence[str],
        *,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        """Run one step with its output shown; ``failure`` is what to say when it does not succeed."""
        done = subprocess.run(command, cwd=cwd, env=env, stdin=subprocess.DEVNULL, check=False)
        if done.returncode == 0:
            return
        free = shutil.disk_usage(self.root).free
        if free < FULL_BYTES:
            raise SetupError(f"{failure}: the disk is full ({_gigabytes(free)} left where {self.root} lies)")
        raise SetupError(f"{failure} (exit code {done.returncode}); what it said stands above")


@contextlib.contextmanager
def only_one(root: Path) -> Iterator[None]:
    """Two calls at once take turns; the lock ends with the process that holds it."""
    handle = os.open(root, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _pinned(package: str, lock: str) -> str:
    found = re.search(rf"^{re.escape(package)}==(\S+)", lock, re.MULTILINE)
    if found is None:
        raise SetupError(f"constraints.txt does not pin {package}: call make lock")
    return found.group(1)


def _count(lock: str) -> int:
    return len(re.findall(r"^\w", lock, re.MULTILINE))


def _gigabytes(size: int) -> str:
    return f"{size / 1024**3:.1f} GB"


if __name__ == "__main__":
    sys.exit(main())
