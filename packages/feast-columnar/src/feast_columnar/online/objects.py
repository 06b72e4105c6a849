"""Features that are no numbers: texts, bytes, and booleans where they are asked for as such, as Python's objects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from feast.protos.feast.types.Value_pb2 import Value
from feast.types import Bool, Bytes, String

from feast_columnar.online.wire import DELIMITED, UnreadableError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

_SHORT: Final = 0x80  # a length below it is one byte


@dataclass(frozen=True)
class ObjectType:
    """How such a feature is stored, and what it is in Python.

    Attributes:
        field: The field of Feast's value message.
        kinds: The types that its values may have where they are computed.
    """

    field: str
    kinds: tuple[type, ...]

    def decode(self, cells: Sequence[bytes | None]) -> NDArray[np.object_]:
        """Return the objects in serialized value messages, ``[n]``; None for null.

        Raises:
            Exception: A cell holds something else; whatever spoilt cells may lead to.
        """
        if self.field != "string_val":
            return objects([self.of(Value.FromString(cell)) if cell else None for cell in cells])
        return objects([self._text(cell) if cell else None for cell in cells])

    def _text(self, cell: bytes) -> object:
        """Return a text; a short one without a message, which costs ten times as much."""
        if cell[0] == _TEXT and cell[1] == len(cell) - 2 < _SHORT:
            return cell[2:].decode()
        return self.of(Value.FromString(cell))

    def of(self, value: Any) -> object:  # noqa: ANN401 - a protobuf message
        """Return what a value message holds; None for null.

        Raises:
            UnreadableError: It holds something else.
        """
        field = value.WhichOneof("val")
        if field in {None, "null_val"}:
            return None
        if field != self.field:
            raise UnreadableError
        stored: object = getattr(value, field)
        return stored

    def computed(self, value: object) -> object:
        """Return what the code of an on-demand feature view gives; None for null.

        Raises:
            TypeError: It is something else.
        """
        if value is None or value != value:  # noqa: PLR0124 - NaN is the one value that is not itself
            return None
        if not isinstance(value, self.kinds):
            raise TypeError
        return self.kinds[0](value)


_TEXT: Final = Value.DESCRIPTOR.fields_by_name["string_val"].number << 3 | DELIMITED

OBJECTS: Final[Mapping[Any, ObjectType]] = {
    String: ObjectType("string_val", (str,)),
    Bytes: ObjectType("bytes_val", (bytes,)),
    Bool: ObjectType("bool_val", (bool, np.bool_)),
}
"""The types of Feast's of features that are read as objects; booleans are numbers unless they are asked for so."""


@dataclass(frozen=True)
class ObjectFeature:
    """A feature that is read as an object.

    Attributes:
        name: Its name in its view.
        column: What the reader calls it.
        kind: How it is stored.
    """

    name: str
    column: str
    kind: ObjectType


def objects(values: Sequence[object]) -> NDArray[np.object_]:
    """Return an array ``[n]`` of objects, whatever they are."""
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array
