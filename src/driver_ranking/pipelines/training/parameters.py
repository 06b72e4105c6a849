"""The parameters of training, refused before rows are extracted where they can't be meant."""

from collections.abc import Mapping
from typing import Any

from driver_ranking.errors import RequestError
from driver_ranking.pipelines.training.comparison import promote_rule

_KEYS = (
    *("feature_service", "label", "seed", "test_size", "group_column", "ndcg_k"),
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
    places = training["ndcg_k"]
    if not isinstance(places, int) or places < 1:
        message = f"`training.ndcg_k` is a number of places, at least 1, not {places!r}."
        raise RequestError(message)
    others = sorted(set(training["thresholds"]) - _LIMITED)
    if others:
        message = f"`training.thresholds` says how large rmse and mae may be; it can't limit {', '.join(others)}."
        raise RequestError(message)
