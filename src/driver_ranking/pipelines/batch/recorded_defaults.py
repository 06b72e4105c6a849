"""Defaults of missing features, as they are recorded of extracted rows, so that these are scored with them."""

import base64
import json
from typing import TYPE_CHECKING

import numpy as np

from driver_ranking.errors import RequestError
from driver_ranking.features import Defaults

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa

    from driver_ranking.model import RegisteredModel

DEFAULTS_KEY = "driver_ranking.defaults"


def notes_of(defaults: Defaults | None, model: "RegisteredModel") -> dict[str, str]:
    """Return what is recorded: a JSON object, feature to number or text (of bytes, Base64); nothing of no defaults."""
    if defaults is None:
        return {}
    numbers = dict(zip(model.number_columns, defaults.numbers.tolist(), strict=True))
    texts = {
        name: base64.b64encode(text).decode() if isinstance(text, bytes) else text
        for name, text in defaults.texts.items()
    }
    return {DEFAULTS_KEY: json.dumps({name: value for name, value in numbers.items() if value == value} | texts)}  # noqa: PLR0124 - not NaN


def recorded_defaults(schema: "pa.Schema", model: "RegisteredModel", extracted_for: str) -> Defaults | None:
    """Return the defaults that rows were extracted with.

    Raises:
        RequestError: They are those of another version, or the model's version has others.
    """
    recorded: Mapping[str, float | str] = json.loads((schema.metadata or {}).get(DEFAULTS_KEY.encode(), b"{}"))
    if extracted_for != model.version and (recorded or model.defaults):
        message = (
            f"The rows were extracted for version {extracted_for}, and what stands for missing features may be another "
            f"value for the {model.label}. Run the pipeline from extract_features with this version."
        )
        raise RequestError(message)
    if not recorded:
        return None
    numbers = np.array([recorded.get(name, np.nan) for name in model.number_columns], dtype=np.float64)
    texts = {name: _text(str(recorded[name]), model.types[name]) for name in model.text_columns if name in recorded}
    return Defaults(numbers, texts)


def _text(recorded: str, kind: str) -> str | bytes:
    return base64.b64decode(recorded) if kind == "binary" else recorded
