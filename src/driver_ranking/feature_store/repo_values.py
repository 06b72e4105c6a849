"""Values of the environment in feature_store.yaml: values, not YAML.

Feast puts them into the text of the file before it is read. What a value holds can then end a line, begin a comment or
be taken for another type, and an error about it would quote it. Such values are refused here, by the names of their
variables.
"""

import json
import os
import re
from pathlib import Path
from typing import Any

from driver_ranking.errors import FeatureStoreError

_MARK = "<<{}>>"  # stands for a value while it is seen where values are
_MARKED = re.compile(r"<<(\w+)>>")
_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
_CREDENTIAL = re.compile(r"(?:^|,)(?:password|username)=<<(\w+)>>(?=,|$)")


def require_plain_values(file: Path) -> None:
    """Refuse values that would be read as something else than what they are.

    Args:
        file: The configuration.

    Raises:
        FeatureStoreError: There are such values. They are not shown.
    """
    import yaml

    text = file.read_text(encoding="utf-8")
    try:
        meant = yaml.safe_load(_VARIABLE.sub(lambda found: _MARK.format(found[1] or found[2]), text))
    except yaml.YAMLError:
        return  # the file itself is at fault, and Feast says how
    try:
        read = yaml.safe_load(os.path.expandvars(text))
    except (yaml.YAMLError, ValueError):
        read = None
    odd = _odd(meant, read) | _odd_credentials(meant)
    if odd:
        message = (
            f"{file} can't take the values of the environment variables {', '.join(sorted(odd))} as they are: what is "
            "put into its text is read as YAML, and split at commas in a connection string. For a Redis's "
            "password use `type: feast_columnar.SecretRedisOnlineStore`, which takes any."
        )
        raise FeatureStoreError(message)


def _odd(meant: Any, read: Any) -> set[str]:  # noqa: ANN401 - whatever YAML holds
    """Return the variables of which something else was read."""
    if isinstance(meant, dict):
        others = read if isinstance(read, dict) else {}
        return set().union(*(_odd(value, others.get(name)) for name, value in meant.items()))
    if isinstance(meant, list):
        items = read if isinstance(read, list) and len(read) == len(meant) else [None] * len(meant)
        return set().union(*(_odd(one, other) for one, other in zip(meant, items, strict=True)))
    if not isinstance(meant, str) or not _MARKED.search(meant):
        return set()
    value = _MARKED.sub(lambda found: os.environ.get(found[1], ""), meant)
    whole = _MARKED.fullmatch(meant) is not None
    if read == value or (whole and isinstance(read, (bool, int, float))) or (whole and read is None and not value):
        return set()
    return _named(meant)


def _odd_credentials(meant: Any) -> set[str]:  # noqa: ANN401 - as above
    """Return the variables of credentials in the connection string of Feast's own Redis store that it would misread."""
    store = meant.get("online_store") if isinstance(meant, dict) else None
    string = store.get("connection_string") if isinstance(store, dict) else None
    named = set(_CREDENTIAL.findall(str(string or "")))
    return {name for name in named if not _is_kept(os.environ.get(name, ""))}


def _is_kept(value: str) -> bool:
    """Tell whether Feast takes a credential for what it is."""
    if "," in value:
        return False
    try:
        json.loads(value)
    except ValueError:
        return True
    return False


def _named(text: str) -> set[str]:
    return set(_MARKED.findall(text))
