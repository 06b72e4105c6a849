"""What a client of the online service is told of an error."""

import re

import pytest

from driver_ranking import errors
from driver_ranking.errors import DriverRankingError, ModelRefusedError, ModelTrialError

ALL = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, DriverRankingError)]


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    drawn = re.findall(r"^( *)(\w+Error) +(\d{3})(?:  |$)", errors.__doc__ or "", flags=re.MULTILINE)
    depth = {kind.__name__: len(kind.__mro__) - len(DriverRankingError.__mro__) for kind in ALL}
    assert {name: (len(indent) // 2 - 2, int(status)) for indent, name, status in drawn} == {
        kind.__name__: (depth[kind.__name__], kind.status.value) for kind in ALL
    }


@pytest.mark.parametrize("kind", [kind for kind in ALL if kind is not ModelRefusedError])
def test_a_message_from_elsewhere_stays_in_the_log(kind: type[DriverRankingError]) -> None:
    error = kind("the message")
    assert str(error) == "the message"
    assert error.public_message == (kind.summary or "the message")
    if kind.status < 500:
        assert error.public_message == "the message"


def test_a_failed_trial_has_a_reason_for_the_client() -> None:
    error = ModelTrialError("why, in /a/file", "why")
    assert (str(error), error.public_message) == ("why, in /a/file", "why")


def test_a_refusal_has_a_reason_for_the_client() -> None:
    error = ModelRefusedError("why, in /a/file", "why")
    assert (str(error), error.public_message) == ("why, in /a/file", "why")
