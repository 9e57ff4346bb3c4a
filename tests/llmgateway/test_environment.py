"""Typed readers of the environment: each failure is a sentence that names the variable."""

import os
import threading
import time
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from llmgateway.environment import (
    env_address_rules,
    env_bool,
    env_int,
    env_list,
    env_secret,
    env_text,
    random_words,
)

NAME = "GATEWAY_TEST_VALUE"


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch):
    monkeypatch.delenv(NAME, raising=False)
    monkeypatch.delenv(f"{NAME}_FILE", raising=False)


def test_text_is_taken_as_it_stands(monkeypatch):
    assert env_text(NAME) == ""
    assert env_text(NAME, "default") == "default"

    monkeypatch.setenv(NAME, " $HOME=#1 ")
    assert env_text(NAME, "default") == " $HOME=#1 "


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *((word, True) for word in ("1", "true", " Yes ", "ON")),
        *((word, False) for word in ("0", "false", "no", "off")),
    ],
)
def test_yes_and_no_have_several_words(monkeypatch, text, value):
    monkeypatch.setenv(NAME, text)

    assert env_bool(NAME, default=not value) is value


@pytest.mark.parametrize("default", [True, False])
@pytest.mark.parametrize("text", [None, "", "  "])
def test_an_empty_variable_is_the_default(monkeypatch, text, default):
    if text is not None:
        monkeypatch.setenv(NAME, text)

    assert env_bool(NAME, default=default) is default
    assert env_int(NAME, default=7) == 7


def test_another_word_is_neither_yes_nor_no(monkeypatch):
    monkeypatch.setenv(NAME, "maybe")

    with pytest.raises(ImproperlyConfigured, match=f"{NAME} must be true or false, not 'maybe'"):
        env_bool(NAME, default=True)


def test_a_number_is_read_and_bounded(monkeypatch):
    monkeypatch.setenv(NAME, " 42 ")
    assert env_int(NAME, default=7, at_least=42) == 42

    with pytest.raises(ImproperlyConfigured, match=f"{NAME} must be at least 43, not 42"):
        env_int(NAME, default=7, at_least=43)
    monkeypatch.setenv(NAME, "4.2")
    with pytest.raises(ImproperlyConfigured, match=f"{NAME} must be a whole number, not '4.2'"):
        env_int(NAME, default=7)


@pytest.mark.parametrize(
    ("text", "words"),
    [(None, ["default"]), ("", ["default"]), (" a , ,b,", ["a", "b"]), (" , ", [])],
)
def test_a_list_is_cut_at_commas(monkeypatch, text, words):
    if text is not None:
        monkeypatch.setenv(NAME, text)

    assert env_list(NAME, default=["default"]) == words


def never() -> str:
    raise AssertionError("no secret is to be made")


def test_a_secret_comes_from_its_variable_first(monkeypatch, tmp_path):
    (tmp_path / "named").write_text("from a file\n")
    monkeypatch.setenv(NAME, " $ecret ")
    monkeypatch.setenv(f"{NAME}_FILE", str(tmp_path / "named"))

    assert env_secret(NAME, kept_in=tmp_path / "kept", make=never) == "$ecret"
    assert not (tmp_path / "kept").exists()


def test_then_from_the_file_that_is_named(monkeypatch, tmp_path):
    (tmp_path / "named").write_text("from a file\n")
    monkeypatch.setenv(f"{NAME}_FILE", str(tmp_path / "named"))

    assert env_secret(NAME, kept_in=tmp_path / "kept", make=never) == "from a file"


def test_a_named_file_that_is_missing_is_told(monkeypatch, tmp_path):
    monkeypatch.setenv(f"{NAME}_FILE", str(tmp_path / "named"))

    with pytest.raises(ImproperlyConfigured, match=f"{NAME}_FILE: .*No such file"):
        env_secret(NAME, kept_in=tmp_path / "kept", make=never)


def test_else_it_is_made_once_and_kept_for_its_owner_only(tmp_path):
    path = tmp_path / "secrets" / "kept"

    first = env_secret(NAME, kept_in=path, make=random_words)

    assert len(first) == 64
    assert path.stat().st_mode & 0o777 == 0o600
    assert env_secret(NAME, kept_in=path, make=never) == first
    assert os.listdir(path.parent) == ["kept"]


def test_two_that_make_it_at_once_have_the_same_whole_secret(tmp_path):
    """Two commands on a fresh folder: neither may read what the other has half written."""
    path = tmp_path / "kept"
    found: list[str] = []
    barrier = threading.Barrier(4)

    def make() -> str:
        time.sleep(0.05)
        return random_words()

    def read() -> None:
        barrier.wait()
        found.append(env_secret(NAME, kept_in=path, make=make))
        found.append(env_secret(NAME, kept_in=path, make=never))

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(found) == 8
    assert len(set(found)) == 1
    assert len(found[0]) == 64


def test_a_folder_that_cannot_be_written_names_the_setting(tmp_path):
    (tmp_path / "file").write_text("a file where a folder belongs")

    with pytest.raises(ImproperlyConfigured, match="Set GATEWAY_DATA_DIR"):
        env_secret(NAME, kept_in=tmp_path / "file" / "kept", make=random_words)


def test_nothing_else_reads_the_environment():
    """Settings are read in one place; only the programs that set DJANGO_SETTINGS_MODULE touch it as well."""
    root = Path(__file__).resolve().parents[2]
    readers = {
        str(path.relative_to(root))
        for package in ("llmgateway", "routing", "accounting", "conversion")
        for path in (root / package).rglob("*.py")
        if "os.environ" in path.read_text() or "os.getenv" in path.read_text()
    }

    assert readers == {"llmgateway/environment.py", "llmgateway/asgi.py"}


def test_address_rules_are_read_and_a_wrong_word_is_named(monkeypatch):
    monkeypatch.setenv(NAME, "10.0.0.0/8, loopback")
    monkeypatch.setenv(f"{NAME}_DENY", "everything")
    rules = env_address_rules(allowed=NAME, denied=f"{NAME}_DENY")
    assert [str(network) for network in rules.allowed] == ["10.0.0.0/8", "127.0.0.0/8", "::1/128"]
    assert len(rules.denied) == 2

    monkeypatch.setenv(f"{NAME}_DENY", "intranet")
    with pytest.raises(ImproperlyConfigured, match=f"{NAME}_DENY: 'intranet'"):
        env_address_rules(allowed=NAME, denied=f"{NAME}_DENY")
