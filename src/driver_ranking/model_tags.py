"""What the tags of a registered version say that its signature does not: texts, which have to be read with care."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from driver_ranking.errors import ModelTagError

CANDIDATE_KEY_TAG = "candidate_key"
REQUEST_FEATURES_TAG = "request_features"
DEFAULTS_TAG = "defaults"

_REQUEST_FEATURES_ADVICE = "Give it the names of columns, separated by commas, each once."
_DEFAULTS_ADVICE = 'Give it a JSON object of numbers, true, false or texts by feature, {"rating": 3.5} for example.'


@dataclass(frozen=True)
class VersionTags:
    """What the tags of a version say. The attributes are those of `RegisteredModel`."""

    candidate_key: str | None = None
    request_features: tuple[str, ...] = ()
    defaults: tuple[tuple[str, float | bool | str], ...] = ()


def version_tags(tags: Mapping[str, str], label: str) -> VersionTags:
    """Read the tags of a version. One that is not there, or blank, says nothing.

    Args:
        tags: All of its tags.
        label: How messages name the version.

    Raises:
        ModelTagError: A tag can't be read; the message says what it has to be.
    """
    return VersionTags(
        candidate_key=tags.get(CANDIDATE_KEY_TAG, "").strip() or None,
        request_features=_names(tags.get(REQUEST_FEATURES_TAG, "").strip(), label),
        defaults=_defaults(tags.get(DEFAULTS_TAG, "").strip(), label),
    )


def _names(text: str, label: str) -> tuple[str, ...]:
    """Return names that are separated by commas, or in a JSON list."""
    where = f"The tag {REQUEST_FEATURES_TAG!r} of {label}"
    listed = _parsed(text, where, _REQUEST_FEATURES_ADVICE) if text.startswith("[") else text.split(",") if text else []
    names = [name.strip() if isinstance(name, str) else "" for name in listed]
    if not all(names) or len(set(names)) < len(names):
        message = f"{where} has a name that is empty, or there twice: {text}. {_REQUEST_FEATURES_ADVICE}"
        raise ModelTagError(message)
    return tuple(names)


def _defaults(text: str, label: str) -> tuple[tuple[str, float | bool | str], ...]:
    if not text:
        return ()
    where = f"The tag {DEFAULTS_TAG!r} of {label}"
    values = _parsed(text, where, _DEFAULTS_ADVICE)
    if not isinstance(values, dict):
        message = f"{where} is no JSON object. {_DEFAULTS_ADVICE}"
        raise ModelTagError(message)
    odd = [name for name, value in values.items() if not isinstance(value, float | int | str)]  # a bool is an int
    if odd:
        message = f"{where} has something else than a number, true, false or a text for {odd[0]!r}. {_DEFAULTS_ADVICE}"
        raise ModelTagError(message)
    return tuple(values.items())


def _parsed(text: str, where: str, advice: str) -> Any:  # noqa: ANN401 - whatever is in JSON
    try:
        return json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_each_once)
    except (ValueError, RecursionError) as error:
        message = f"{where} can't be read as JSON: {error}. {advice}"
        raise ModelTagError(message) from error


def _refuse_constant(name: str) -> NoReturn:
    message = f"{name} is no number of JSON"
    raise ValueError(message)


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object whose names differ; of two values of one name JSON would keep the last, without a word."""
    values = dict(pairs)
    if len(values) < len(pairs):
        message = "a name is there twice"
        raise ValueError(message)
    return values
