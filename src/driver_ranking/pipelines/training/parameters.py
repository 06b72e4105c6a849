"""The parameters of training, refused before rows are extracted where they can't be meant."""

import json
from collections.abc import Mapping
from typing import Any

from driver_ranking.errors import RequestError
from driver_ranking.model_tags import CANDIDATE_KEY_TAG, DEFAULTS_TAG, REQUEST_FEATURES_TAG
from driver_ranking.pipelines.training.comparison import promote_rule

_KEYS = (
    *("feature_service", "request_features", "candidate_key", "defaults"),
    *("label", "seed", "test_size", "group_column", "ndcg_k"),
    *("estimator", "trusted_types", "thresholds", "promote"),
)
_LIMITED = {"rmse", "mae"}


def require_sound(training: Mapping[str, Any]) -> None:
    """Refuse parameters that are read at the end, when the work is done.

    Raises:
        RequestError: One is missing, or says what can't be.
    """
    missing = [key for key in _KEYS if key not in training]
    if missing:
        message = (
            f"`training` lacks {', '.join(map(repr, missing))}: an environment's own block replaces that of conf/base "
            f"as a whole. Copy the lines from conf/base/parameters_training.yml."
        )
        raise RequestError(message)
    promote_rule(training)
    _require_texts(training["request_features"])
    if training["label"] in training["request_features"]:
        message = f"`training.request_features` has the label {training['label']!r}, which no request knows."
        raise RequestError(message)
    _require_values(training["defaults"])
    places = training["ndcg_k"]
    if not isinstance(places, int) or places < 1:
        message = f"`training.ndcg_k` is a number of places, at least 1, not {places!r}."
        raise RequestError(message)
    others = sorted(set(training["thresholds"]) - _LIMITED)
    if others:
        message = f"`training.thresholds` says how large rmse and mae may be; it can't limit {', '.join(others)}."
        raise RequestError(message)


def version_tags(training: Mapping[str, Any]) -> dict[str, str]:
    """Return what the tags of the model's version have to say, beside its feature service, to be used as trained."""
    values = {
        CANDIDATE_KEY_TAG: training["candidate_key"],
        REQUEST_FEATURES_TAG: _listed(training["request_features"]),
        DEFAULTS_TAG: json.dumps(dict(training["defaults"])) if training["defaults"] else None,
    }
    return {tag: value for tag, value in values.items() if value}


def _listed(names: list[str]) -> str:
    by_commas = all(name == name.strip() and not set(name) & set(",[") for name in names)
    return ",".join(names) if by_commas else json.dumps(names)


def _require_texts(names: object) -> None:
    texts = [name for name in names if isinstance(name, str)] if isinstance(names, list) else None
    if texts is None or texts != names or len(set(texts)) < len(texts):
        message = f"`training.request_features` is a list of columns of the orders, each once, not {names!r}."
        raise RequestError(message)


def _require_values(defaults: object) -> None:
    values = defaults.values() if isinstance(defaults, Mapping) else [None]
    if not all(isinstance(value, int | float | str) for value in values):
        message = f"`training.defaults` is a number, true, false or a text by feature, not {defaults!r}."
        raise RequestError(message)
