"""What headers say of a request, and what an answer's may say."""

from collections.abc import Mapping

from driver_ranking.errors import NotJSONError

_NOT_JSON = ("text/", "multipart/", "application/x-www-form-urlencoded", "application/xml")


def require_json(headers: Mapping[str, str]) -> None:
    """Refuse a body whose headers say that it is something else.

    Clients that say nothing, or that it is bytes, mean JSON.

    Raises:
        NotJSONError: It has another media type.
    """
    if headers.get("content-type", "").lower().startswith(_NOT_JSON):
        message = "The body must be JSON, with the header Content-Type: application/json."
        raise NotJSONError(message)


def sendable_headers(headers: Mapping[str, str] | None) -> dict[str, str]:
    """Return the headers that can be sent; an id that a client chose may hold what would end a header."""
    return {name: text for name, text in (headers or {}).items() if text.isascii() and text.isprintable()}
