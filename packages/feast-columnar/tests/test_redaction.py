"""What the library says of a configuration quotes no password, wherever it comes from."""

from __future__ import annotations

import pytest

from feast_columnar.errors import RepoError
from feast_columnar.redaction import HIDDEN, explained, without_secrets


@pytest.mark.parametrize(
    "text", ["redis://user:canary@host:6379/0", "host:6379,password=canary", '{"token": "canary"}']
)
def test_passwords_are_told_by_what_is_around_them(text: str) -> None:
    assert without_secrets(text) == text.replace("canary", HIDDEN)


def test_what_the_environment_has_as_a_secret_is_hidden_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    assert without_secrets("it is canary here") == "it is canary here"
    monkeypatch.setenv("STORE_PASSWORD", "canary")
    assert without_secrets("it is canary here") == f"it is {HIDDEN} here"


@explained("It can't be opened", RepoError)
def opened() -> None:
    message = "no access with canary"
    raise ValueError(message)


def test_an_error_that_quotes_a_secret_loses_its_cause_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORE_PASSWORD", "canary")
    with pytest.raises(RepoError, match=r"^It can't be opened: no access with \*\*\*$") as raised:
        opened()
    assert raised.value.__cause__ is None
