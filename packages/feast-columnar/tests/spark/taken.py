"""The tests of the local offline store, taken as they are for the store on Spark."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import ModuleType


def taken(module: ModuleType, left_out: set[str]) -> dict[str, Any]:
    """Return the tests of a module but for some, with the fixtures that they need."""
    assert vars(module).keys() >= left_out
    return {
        name: item
        for name, item in vars(module).items()
        if (name.startswith("test_") and name not in left_out) or hasattr(item, "_fixture_function")
    }
