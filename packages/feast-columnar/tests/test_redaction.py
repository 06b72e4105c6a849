"""What the library says of a configuration quotes no password, wherever it comes from."""

from __future__ import annotations

import pytest

from feast_columnar.errors import RepoError
from feast_columnar.redaction import HIDDEN, explained, without_secrets


@pytest.mark.parametrize(
    "text", ["redis://user:canary@host:6379/0", "host:6379,password=canary", '{"token": "canary"}', "it is canary here"]
)
def test_passwords_of_texts_and_of_the_environment_are_hidden(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORE_PASSWORD", "canary")
    assert without_secrets(text) == text.replace("canary", HIDDEN)


@explained("It can't be opened", RepoError)
def opened() -> None:
    message = "no access with canary"
    raise ValueError(message)


def test_an_error_that_quotes_a_secret_loses_its_cause_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORE_PASSWORD", "canary")
    with pytest.raises(RepoError, match=r"^It can't be opened: no access with \*\*\*$") as raised:
        opened()
    assert raised.value.__cause__ is None
