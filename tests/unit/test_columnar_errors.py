"""The errors of the library: its tree, and what becomes of each in this project."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
import pytest

from driver_ranking import errors
from driver_ranking.feature_store.library_errors import own_errors
from driver_ranking.feature_store.online import _Reader
from feast_columnar import errors as columnar
from feast_columnar.offline import store as offline_store
from feast_columnar.redaction import explained

if TYPE_CHECKING:
    from collections.abc import Callable

ALL = [kind for kind in vars(columnar).values() if isinstance(kind, type) and issubclass(kind, columnar.ColumnarError)]
SAME_NAME = {
    "UnservableFeatureError",
    "RequestError",
    "StoreUnavailableError",
    "FeaturesLostError",
    "OnDemandFeatureError",
}
KEYS = np.array([1])


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    drawn = re.findall(r"^( *)(\w+Error)(?:  |$)", columnar.__doc__ or "", flags=re.MULTILINE)
    above: dict[int, str] = {}
    parents = {}
    for indent, name in drawn:
        above[len(indent)] = name
        parents[name] = above.get(len(indent) - 2)
    assert parents == {
        kind.__name__: None if kind is columnar.ColumnarError else kind.__bases__[0].__name__ for kind in ALL
    }
    assert issubclass(columnar.AsofError, ValueError)
    assert issubclass(columnar.UnsupportedError, NotImplementedError)


def test_the_errors_of_the_join_are_where_they_were() -> None:
    assert offline_store.AsofError is columnar.AsofError
    assert offline_store.UnsupportedError is columnar.UnsupportedError


@pytest.mark.parametrize("kind", ALL)
def test_each_error_of_the_library_becomes_one_of_this_project_with_the_same_message(
    kind: type[columnar.ColumnarError],
) -> None:
    own = getattr(errors, kind.__name__) if kind.__name__ in SAME_NAME else errors.FeatureStoreError
    error = kind("the message")
    with pytest.raises(errors.DriverRankingError) as raised, own_errors():
        raise error
    assert type(raised.value) is own
    assert str(raised.value) == "the message"
    assert raised.value.__cause__ is error


def test_an_error_that_derives_from_one_of_the_librarys_becomes_what_that_one_does() -> None:
    class OtherError(columnar.FeaturesLostError):
        """Of another library."""

    error = OtherError("gone")
    with pytest.raises(errors.FeaturesLostError, match="gone"), own_errors():
        raise error


def test_other_errors_are_left_as_they_are() -> None:
    with pytest.raises(KeyError), own_errors():
        raise KeyError


class Failing:
    """A reader of a store that is gone."""

    columns = ("rate",)
    closed = False

    def fail(self, *_: object, **__: object) -> NoReturn:
        message = "gone"
        raise columnar.StoreUnavailableError(message)

    read = sample = lacking = fail

    async def read_async(self, *_: object, **__: object) -> NoReturn:
        self.fail()

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize(
    "use",
    [
        lambda reader: reader.read(KEYS, 0),
        lambda reader: asyncio.run(reader.read_async(KEYS, 0)),
        lambda reader: reader.sample(1),
        lambda reader: reader.lacking(),
    ],
    ids=["read", "read_async", "sample", "lacking"],
)
def test_whatever_is_asked_of_a_reader_fails_with_an_error_of_this_project(use: Callable[[Any], object]) -> None:
    failing: Any = Failing()
    reader = _Reader(failing)
    assert reader.columns == ("rate",)
    with pytest.raises(errors.StoreUnavailableError, match="gone"):
        use(reader)
    reader.close()
    assert failing.closed


def test_a_cause_that_quotes_a_secret_stays_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THE_PASSWORD", "open sesame")
    error, kind = OSError("no open sesame"), columnar.RepoError
    with pytest.raises(kind, match=r"^It fails: no \*\*\*$") as raised, explained("It fails", kind):
        raise error
    assert raised.value.__cause__ is None
