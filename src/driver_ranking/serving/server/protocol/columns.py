"""The values of one input as the column that the ranking takes: exactly what the client means, or an error.

Nothing is rounded in silence. Of JSON, a fraction for an FP32 input is the nearest that there is, as of any text; all
else has to be a value that the input's datatype holds exactly.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from driver_ranking.errors import RequestError
from driver_ranking.serving.contract import Input
from driver_ranking.serving.server.protocol.ids import to_int64
from driver_ranking.serving.server.protocol.tensor_bytes import DTYPES, PackedTexts
from feast_columnar.exactness import EXACT_INTEGERS, EXACT_SINGLE_INTEGERS

_WIDER = {"FP64": ("FP64", "FP32"), "FP32": ("FP32", "FP64")}
_WIDEST = 4  # bytes that a character of UTF-8 has at most
_KINDS = {
    bool: "a boolean",
    str: "a string",
    bytes: "a string",
    int: "a number",
    float: "a number",
    type(None): "null",
    list: "a list",
    dict: "an object",
}


@dataclass(frozen=True)
class TypedValues:
    """The typed contents of a gRPC message, not copied before they are counted.

    Attributes:
        values: The message's.
        datatype: Their datatype.
        misplaced: The message's field that has values and is not the datatype's; nothing if there is none.
    """

    values: Sequence[Any]
    datatype: str
    misplaced: str = ""

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.values)

    def copied(self) -> list[Any] | NDArray[Any]:
        """Return them."""
        values = self.values[:]
        return np.array(values, DTYPES[self.datatype]) if self.datatype in DTYPES else list(values)


Values: TypeAlias = list[Any] | NDArray[Any]
"""The values of an input: a list of what JSON or texts have, or the numbers that were sent as such."""

Sent: TypeAlias = Values | TypedValues | PackedTexts
"""The same as it came, not yet counted."""


@dataclass(frozen=True)
class Column:
    """What one input's values have to be.

    Attributes:
        one: The input.
        label: How messages name it.
        max_text_bytes: How long each text may be.
        optional: Whether values may be missing.
        is_feature: Whether the model takes it, as a float64.
        called: How messages call its values.
    """

    one: Input
    label: str
    max_text_bytes: int
    optional: bool = False
    is_feature: bool = False
    called: str = "its values"

    def of(self, values: Values, sent: str) -> NDArray[Any]:
        """Return values as a column, see `RankingQuery`.

        Args:
            values: They.
            sent: The datatype that the client gave them.

        Raises:
            RequestError: One is something else, or missing where it may not; the message names the first.
        """
        return _READ[self.one.datatype](self, values, sent)

    def nothing(self) -> NDArray[Any]:
        """Return the column ``[1]`` of an input that was left out."""
        return np.array([np.nan]) if self.one.datatype in _WIDER else np.array([None], dtype=object)

    def fault(self, place: int, what: str) -> RequestError:
        """Return the error that a value is something that it may not be."""
        return RequestError(f"{self.label}[{place}] {what}")


def datatypes_for(one: Input) -> tuple[str, ...]:
    """Return the datatypes that an input is taken in, its own first."""
    return _WIDER.get(one.datatype, (one.datatype,))


def _whole(column: Column, values: Values, _: str) -> NDArray[Any]:
    missing = None
    if isinstance(values, np.ndarray):
        found = values.astype(np.int64, copy=False)
    else:
        if column.optional:
            values, missing = _filled(values, 0)
        found = to_int64(values, column.label, called=column.called, bits=32 if column.one.datatype == "INT32" else 64)
    if column.is_feature:
        large = np.flatnonzero((found >= EXACT_INTEGERS) | (found <= -EXACT_INTEGERS))
        if large.size:
            raise column.fault(int(large[0]), "is too large; the whole numbers of features are below 2^53.")
    return _with_nothing(found, missing)


def _floats(column: Column, values: Values, sent: str) -> NDArray[Any]:
    single = column.one.datatype == "FP32"
    if isinstance(values, np.ndarray):
        found = values.astype(np.float64)
        if single and sent != "FP32":
            _require_single(column, found)
        return found
    _require_kinds(column, values, {int, float}, "numbers")
    most = EXACT_SINGLE_INTEGERS if single else EXACT_INTEGERS
    for place, value in enumerate(values):
        if type(value) is int and not -most <= value <= most:
            raise column.fault(
                place, f"can't be held exactly; whole numbers of {column.one.datatype} are up to {most}."
            )
    found = np.array(values, dtype=np.float64)  # NaN of None
    if single and sent != "FP32":
        _require_single(column, found)
    elif single:
        with np.errstate(over="ignore"):
            found = found.astype(np.float32).astype(np.float64)
    infinite = np.flatnonzero(np.isinf(found))
    if infinite.size:
        raise column.fault(int(infinite[0]), f"is too large for {column.one.datatype}.")
    return found


def _require_single(column: Column, found: NDArray[np.float64]) -> None:
    with np.errstate(over="ignore"):
        rounded = np.flatnonzero((found.astype(np.float32) != found) & ~np.isnan(found))
    if rounded.size:
        place = int(rounded[0])
        what = f"is {float(found[place])!r}, which FP32 can't hold exactly; round it, and send it as FP32."
        raise column.fault(place, what)


def _truths(column: Column, values: Values, _: str) -> NDArray[Any]:
    if isinstance(values, np.ndarray):
        odd = np.flatnonzero(values > 1)
        if odd.size:
            raise column.fault(int(odd[0]), f"is the byte {values[odd[0]]}; a boolean is 0 or 1.")
        return values.astype(np.bool_)
    there, missing = _filled(values, value=False) if column.optional else (values, None)
    _require_kinds(column, there, {bool}, "true or false")
    return _with_nothing(np.array(there, dtype=np.bool_), missing)


def _texts(column: Column, values: Values, _: str) -> NDArray[Any]:
    there, missing = _filled(list(values), "") if column.optional else (list(values), None)
    _require_kinds(column, there, {str, bytes}, "texts")
    if max(map(len, there), default=0) * _WIDEST > column.max_text_bytes:  # one may be too long
        _require_short(column, there)
    found = np.empty(len(there), dtype=object)
    found[:] = _spelled(column, there)
    return _with_nothing(found, missing)


def _require_short(column: Column, values: list[str | bytes]) -> None:
    most = column.max_text_bytes
    for place, value in enumerate(values):
        size = len(value) if isinstance(value, bytes) or value.isascii() or len(value) > most else len(value.encode())
        if size > most:
            raise column.fault(place, f"is longer than {most} bytes, which is the most that a text may have.")


def _spelled(column: Column, values: list[str | bytes]) -> list[str | bytes]:
    """Return texts as str and bytes as bytes, whichever the input has."""
    if not column.one.is_text:
        return [value.encode() if isinstance(value, str) else value for value in values]
    try:
        return [value.decode() if isinstance(value, bytes) else value for value in values]
    except UnicodeDecodeError:
        place = next(place for place, value in enumerate(values) if isinstance(value, bytes) and not _is_utf8(value))
        raise column.fault(place, "is not UTF-8, which texts are.") from None


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


def _filled(values: list[Any], value: object) -> tuple[list[Any], list[int] | None]:
    """Return values with something in the place of each that is missing, and where that is; None for nowhere."""
    if None not in values:
        return values, None
    missing = [place for place, one in enumerate(values) if one is None]
    return [value if one is None else one for one in values], missing


def _with_nothing(found: NDArray[Any], missing: list[int] | None) -> NDArray[Any]:
    if missing is None:
        return found
    holes = found.astype(object)
    holes[missing] = None
    return holes


def _require_kinds(column: Column, values: list[Any], kinds: set[type], called: str) -> None:
    allowed = kinds | {type(None)} if column.optional else kinds
    if not set(map(type, values)) <= allowed:
        place, value = next((place, one) for place, one in enumerate(values) if type(one) not in allowed)
        raise column.fault(place, f"is {_KINDS.get(type(value), 'of another kind')}; {column.called} are {called}.")


_READ: dict[str, Callable[[Column, Values, str], NDArray[Any]]] = {
    "INT64": _whole,
    "INT32": _whole,
    "FP64": _floats,
    "FP32": _floats,
    "BOOL": _truths,
    "BYTES": _texts,
}
