"""What each file of the log says of all of its rows."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from driver_ranking.features import Defaults
from driver_ranking.model_version import RegisteredModel

if TYPE_CHECKING:
    from driver_ranking.prediction_log.schema import LogSchema


def model_columns(model: RegisteredModel, schema: "LogSchema") -> dict[str, str]:
    """Return the columns of the log that have a model's features, by the names of its signature, in its order.

    Args:
        model: The model.
        schema: What its log has.
    """
    columns = {name: column for view in schema.views for name, column in view.features.items()}
    return {name: name if name in model.request_features else columns[name] for name in model.feature_names}


def model_description(model: RegisteredModel, columns: Mapping[str, str], defaults: Defaults | None) -> dict[str, Any]:
    """Return what a file says of the model that scored its rows, for JSON.

    Args:
        model: The model.
        columns: The columns of the log that have its features, by name.
        defaults: What stands for missing features.
    """
    return {
        "model": {
            "name": model.name,
            "version": model.version,
            "run_id": model.run_id,
            "feature_service": model.feature_service,
            "columns": [
                {"name": name, "type": kind, "column": columns[name], "requested": name in model.request_features}
                for name, kind in model.types.items()
            ],
        },
        "defaults": _exactly(model, defaults) if defaults else {},
    }


def _exactly(model: RegisteredModel, defaults: Defaults) -> dict[str, float | str]:
    """Return defaults by column; JSON holds a float64 exactly, bytes are in hexadecimal digits."""
    numbers = zip(model.number_columns, defaults.numbers.tolist(), strict=True)
    texts = {name: text.hex() if isinstance(text, bytes) else text for name, text in defaults.texts.items()}
    return {name: number for name, number in numbers if not np.isnan(number)} | texts
