"""Which columns entity rows have to have for a feature service and a model, and how each of them is read."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from driver_ranking.errors import FeatureStoreError, ModelSignatureError, RequestError
from driver_ranking.feature_store.joinable import DefinedViews, joined_views, keys_of
from driver_ranking.model_version import RegisteredModel

if TYPE_CHECKING:
    from feast import FeatureService


class Reading(StrEnum):
    """How a column is read. The values are what messages say that it has to be."""

    INTEGER = "an integer"
    EXACT_INTEGER = "an integer below 2^53"
    SHORT_INTEGER = "an integer of 32 bits"
    NUMBER = "a number (of integers, one up to 2^53)"
    FLOAT = "a number that a float32 holds (of integers, one up to 2^24)"
    BOOLEAN = "true or false"
    TEXT = "a text"
    BYTES = "bytes"
    TIME = "a time in whole seconds such as 2026-06-15T08:00:00+02:00"
    OTHER = "of the type that the feature repo declares"
    UNKNOWN = "a key"


@dataclass(frozen=True)
class EntityColumn:
    """A column that entity rows have to have.

    Attributes:
        name: Its name.
        reading: How it is read. What Feast will find out from a source when the repo is applied is not known before.
        role: What it is needed as, for messages.
        required: Whether each row has to have a value.
    """

    name: str
    reading: Reading
    role: str
    required: bool = False


_DECLARED: Final[Mapping[str, Reading]] = {
    "INT32": Reading.SHORT_INTEGER,
    "INT64": Reading.INTEGER,
    "FLOAT": Reading.NUMBER,  # not rounded to what a request source declares: Feast hands it over as it is
    "DOUBLE": Reading.NUMBER,
    "BOOL": Reading.BOOLEAN,
    "STRING": Reading.TEXT,
    "BYTES": Reading.BYTES,
    "UNIX_TIMESTAMP": Reading.TIME,  # Feast keeps whole seconds
    "UNKNOWN": Reading.UNKNOWN,  # Feast will look into the source
}
_SIGNED: Final[Mapping[str, Reading]] = {
    "double": Reading.NUMBER,
    "float": Reading.FLOAT,
    "long": Reading.EXACT_INTEGER,
    "integer": Reading.SHORT_INTEGER,
    "boolean": Reading.BOOLEAN,
    "string": Reading.TEXT,
    "binary": Reading.BYTES,
}
_NUMBERS: Final = ("double", "float", "long", "integer")
_WHOLE: Final = {Reading.INTEGER, Reading.SHORT_INTEGER}
# how a column is read that the repo declares and a signature names as well: as the repo has it, and so that it fits
_BOTH: Final[Mapping[tuple[Reading, str], Reading]] = {
    **{(Reading.INTEGER, kind): Reading.EXACT_INTEGER for kind in _NUMBERS},
    (Reading.INTEGER, "integer"): Reading.SHORT_INTEGER,
    **{(Reading.SHORT_INTEGER, kind): Reading.SHORT_INTEGER for kind in _NUMBERS},
    **{(Reading.BOOLEAN, kind): Reading.BOOLEAN for kind in (*_NUMBERS, "boolean")},
    (Reading.NUMBER, "double"): Reading.NUMBER,
    (Reading.NUMBER, "float"): Reading.FLOAT,
    (Reading.TEXT, "string"): Reading.TEXT,
    (Reading.BYTES, "binary"): Reading.BYTES,
    **{(Reading.UNKNOWN, kind): Reading.UNKNOWN for kind in _SIGNED},
}


def service_columns(service: "FeatureService", defined: DefinedViews) -> dict[str, EntityColumn]:
    """Return what a feature service needs: join keys, and what its on-demand feature views take from the request.

    A column that is both is read as the key. A service is taken that ``refuse_unjoinable`` has let pass.

    Raises:
        FeatureStoreError: Two views declare one column with types that can't both hold.
    """
    keys = _merged(_keys(service, defined))
    return {**keys, **_merged(one for one in _inputs(service, defined) if one.name not in keys)}


def with_request_features(
    columns: Mapping[str, EntityColumn], model: RegisteredModel, requested: Iterable[str]
) -> dict[str, EntityColumn]:
    """Return columns with those of a model's signature that come with the request.

    Args:
        columns: What the model's feature service needs.
        model: The model.
        requested: Which columns of its signature come with the request.

    Raises:
        ModelSignatureError: The signature's type can't hold what the feature repo declares.
    """
    found = dict(columns)
    for name in requested:
        kind = model.types[name]
        needed = columns.get(name)
        if needed is None:
            found[name] = EntityColumn(name, _SIGNED[kind], f"a request feature of the {model.label}")
            continue
        reading = _BOTH.get((needed.reading, kind))
        if reading is None:
            message = f"The {model.label} takes {name!r} as {kind}, but it is {needed.reading} as {needed.role}."
            raise ModelSignatureError(message)
        found[name] = replace(needed, reading=reading)
    return found


def require_request_features(
    model: RegisteredModel, requested: Iterable[str], columns: tuple[str, ...]
) -> tuple[str, ...]:
    """Check that entity rows have the columns of a model's signature that come with the request.

    Returns:
        Those that they have. One that has a default may be nowhere: it is missing in each row.

    Raises:
        RequestError: Another one is missing.
    """
    present = tuple(name for name in requested if name in columns)
    missing = [name for name in requested if name not in {*present, *model.optional_columns}]
    if missing:
        message = (
            f"The entity rows lack the column {', '.join(map(repr, missing))}, which the {model.label} takes from the "
            f"request; they have {', '.join(map(repr, columns))}."
        )
        raise RequestError(message)
    return present


def _keys(service: "FeatureService", defined: DefinedViews) -> Iterator[EntityColumn]:
    for view, projection in joined_views(service, defined):
        role = f"the join key of the feature view {projection.name_alias or view.name!r}"
        for name, declared in keys_of(view, projection, defined).items():
            yield EntityColumn(name, _DECLARED.get(declared, Reading.OTHER), role, required=True)


def _inputs(service: "FeatureService", defined: DefinedViews) -> Iterator[EntityColumn]:
    for projection in service.feature_view_projections:
        view: Any = defined.views.get(projection.name)
        if hasattr(view, "source_feature_view_projections"):
            role = f"what the on-demand feature view {view.name!r} takes from the request"
            for name, declared in view.get_request_data_schema().items():
                yield EntityColumn(name, _DECLARED.get(declared.name, Reading.OTHER), role)


def _merged(columns: Iterable[EntityColumn]) -> dict[str, EntityColumn]:
    found: dict[str, EntityColumn] = {}
    for column in columns:
        other = found.setdefault(column.name, column)
        if other.reading is Reading.UNKNOWN:
            found[column.name] = column
        elif column.required and {column.reading, other.reading} == _WHOLE:  # a view of 32 bits has no larger keys
            found[column.name] = replace(other, reading=Reading.INTEGER)
        elif column.reading not in {other.reading, Reading.UNKNOWN}:
            message = (
                f"The column {column.name!r} is declared in two ways: as {other.role} it is {other.reading}, as "
                f"{column.role} {column.reading}. Give it one type, or one of them another name."
            )
            raise FeatureStoreError(message)
    return found
