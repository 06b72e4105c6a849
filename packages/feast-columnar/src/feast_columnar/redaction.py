"""Texts without the secrets that they may quote: what a library says of a configuration goes into logs and errors."""

import contextlib
import os
import re
from collections.abc import Iterator

HIDDEN = "***"

_SECRET_NAMES = re.compile(r"PASSWORD|PASSWD|SECRET|TOKEN|CREDENTIAL|API_?KEY", re.IGNORECASE)
_SHORTEST = 3  # characters; the values of shorter variables would be found in any text
_IN_TEXTS = (
    re.compile(
        r"(?P<kept>\b(?:password|passwd|pwd|secret|token)[\"']?\s*[=:]\s*[\"']?)[^\s,;&\"'}\])]+", re.IGNORECASE
    ),
    re.compile(r"(?P<kept>\b\w[\w+.-]*://[^\s:/@]*:)[^\s/@]+(?=@)"),
)


def without_secrets(text: str) -> str:
    """Return a text with stars for passwords: those in connection strings and URLs, and those that the environment has.

    Args:
        text: Any text, of an error for example.
    """
    for secret in _known_secrets():
        text = text.replace(secret, HIDDEN)
    return without_credentials(text)


def without_credentials(text: str) -> str:
    """Return a text with stars for passwords in connection strings and URLs, whatever the environment has.

    Args:
        text: Any text, an address for example, which is to be the same in every process.
    """
    for pattern in _IN_TEXTS:
        text = pattern.sub(rf"\g<kept>{HIDDEN}", text)
    return text


@contextlib.contextmanager
def explained(what: str, kind: type[Exception]) -> Iterator[None]:
    """Turn whatever Feast, a store or a repo's own files raise, or a quiet exit, into an error that says where.

    Args:
        what: What can't be done; the beginning of the message.
        kind: The class of the error.

    Raises:
        Exception: Of that class, without secrets.
    """
    try:
        yield
    except (Exception, SystemExit) as error:  # noqa: BLE001 - raised anew; a cause that quotes a secret stays out
        said = str(error) or type(error).__name__
        shown = without_secrets(said)
        message = f"{what}: {shown}"
        raise kind(message) from (error if shown == said else None)


def _known_secrets() -> list[str]:
    """Return what the environment holds under names of secrets, the longest first, as it is and as Python quotes it."""
    named = [value for name, value in os.environ.items() if _SECRET_NAMES.search(name)]
    forms = {form for value in named for form in (value, value.strip(), repr(value)[1:-1])}
    return sorted((form for form in forms if len(form) >= _SHORTEST), key=len, reverse=True)
