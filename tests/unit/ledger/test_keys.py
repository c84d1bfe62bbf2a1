"""Keys that name a person's record without naming the person."""

from __future__ import annotations

import subprocess
import sys

import pytest
from cryptography.fernet import Fernet

from interchange.errors import SettingsError
from interchange.ledger.keys import keyed_hash

KEY = "cGxlYXNlLWNoYW5nZS1tZS1wbGVhc2UtY2hhbmdlLW0="


@pytest.fixture
def fernet_key(monkeypatch):
    monkeypatch.setenv("AIRFLOW__CORE__FERNET_KEY", KEY)


def test_a_hash_is_the_same_in_every_process(fernet_key):
    command = "from interchange.ledger.keys import keyed_hash; print(keyed_hash('ann@example.org'))"
    elsewhere = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True)

    assert elsewhere.stdout.split()[-1] == keyed_hash("ann@example.org")


def test_a_hash_tells_texts_apart_and_nothing_about_them(fernet_key):
    hashes = {keyed_hash(text) for text in ("ann@example.org", "Ann@example.org", "bob@example.org", "")}

    assert len(hashes) == 4
    assert all(len(each) == 32 and set(each) <= set("0123456789abcdef") for each in hashes)


def test_another_key_gives_another_hash_but_a_rotation_does_not(fernet_key, monkeypatch):
    before, new = keyed_hash("ann@example.org"), Fernet.generate_key().decode()

    monkeypatch.setenv("AIRFLOW__CORE__FERNET_KEY", f"{new},{KEY}")
    assert keyed_hash("ann@example.org") == before
    monkeypatch.setenv("AIRFLOW__CORE__FERNET_KEY", new)
    assert keyed_hash("ann@example.org") != before


def test_without_a_key_nothing_is_hashed(monkeypatch):
    monkeypatch.setenv("AIRFLOW__CORE__FERNET_KEY", "")

    with pytest.raises(SettingsError, match="AIRFLOW__CORE__FERNET_KEY"):
        keyed_hash("ann@example.org")
