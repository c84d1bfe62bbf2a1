"""The browser for the tests: found, or a failure that says what to install. Never a test left out."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools import browser


@pytest.fixture
def only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The one folder that programs are looked for in."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("BROWSER_PATH", raising=False)
    return tmp_path


def program(folder: Path, name: str, script: str = "exit 0") -> Path:
    file = folder / name
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    return file


@pytest.mark.parametrize("name", ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"])
def test_an_installed_browser_is_found(name: str, only: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = program(only, name)
    assert browser.main() == 0
    assert capsys.readouterr().out == f"{path}\n"


def test_a_named_browser_comes_first(only: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(only, "chromium")
    mine = program(only, "mine")
    monkeypatch.setenv("BROWSER_PATH", str(mine))
    assert browser.find_browser() == str(mine)


def test_without_a_browser_and_without_apt_it_fails_and_says_what_to_install(
    only: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert browser.main() == 1
    assert "apt-get install chromium" in capsys.readouterr().err


def test_root_on_debian_gets_it_installed(only: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    # Plays apt-get: "update" must come first, and "install chromium" brings the program.
    program(
        only,
        "apt-get",
        f"""case "$*" in
        *update) : > {only}/updated ;;
        *install*chromium) [ -e {only}/updated ] && : > {only}/chromium && /bin/chmod +x {only}/chromium ;;
        *) exit 9 ;;
        esac""",
    )
    assert browser.main() == 0


def test_an_install_that_fails_is_a_failure(
    only: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    program(only, "apt-get", "exit 100")
    assert browser.main() == 1
    said = capfd.readouterr().err
    assert "apt-get ended with exit code 100" in said
    assert "BROWSER_PATH" in said


def test_others_are_not_asked_to_wait_for_apt(only: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    program(only, "apt-get", f": > {only}/called")
    assert browser.main() == 1
    assert not (only / "called").exists()
