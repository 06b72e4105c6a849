"""The image, built once."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from support.image import Network, built_image, missing, private_network

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.image import Image


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    """The image. Where it can't be built, tests of it are skipped, but fail where the variable CI is set."""
    lacking = missing()
    if lacking and os.environ.get("CI"):
        pytest.fail(lacking)
    if lacking:
        pytest.skip(lacking)
    with built_image(tmp_path_factory.mktemp("image")) as built:
        yield built


@pytest.fixture
def network() -> Iterator[Network]:
    with private_network() as made:
        yield made
