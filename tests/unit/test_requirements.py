"""The pins of the image are those of requirements.lock, and as many as the project needs to run."""

from __future__ import annotations

import re
from importlib.metadata import requires

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from support.projects import ROOT

ADVICE = "run `make lock`, or only its line for requirements-image.lock"


def pins(file: str) -> list[str]:
    return (ROOT / file).read_text(encoding="utf-8").splitlines()


def installed_requirements(name: str, extras: frozenset[str]) -> set[tuple[str, frozenset[str]]]:
    """Return what an installed package requires on this machine."""
    found: set[tuple[str, frozenset[str]]] = set()
    for text in requires(name) or []:
        one = Requirement(text)
        if one.marker is None or any(one.marker.evaluate({"extra": extra}) for extra in extras | {""}):
            found.add((canonicalize_name(one.name), frozenset(one.extras)))
    return found


def needed(name: str, extras: frozenset[str]) -> set[str]:
    """Return the names of all packages that a package needs, itself too."""
    seen: set[tuple[str, frozenset[str]]] = set()
    waiting = {(name, extras)}
    while waiting:
        one = waiting.pop()
        seen.add(one)
        waiting |= installed_requirements(*one) - seen
    return {one for one, _ in seen}


def versions(file: str) -> set[str]:
    """Return the pins without their markers, which differ where a package of the tests needs one on other systems."""
    return {line.partition(" ;")[0] for line in pins(file)}


def test_each_pin_of_the_image_is_one_that_is_tested_with() -> None:
    assert versions("requirements-image.lock") <= versions("requirements.lock"), ADVICE


def test_the_image_has_the_packages_that_the_project_needs_and_no_others() -> None:
    pinned = [Requirement(line) for line in pins("requirements-image.lock")]
    here = {str(canonicalize_name(one.name)) for one in pinned if one.marker is None or one.marker.evaluate()}
    assert here == needed("driver-ranking", frozenset({"serving"})) - {"driver-ranking", "feast-columnar"}, ADVICE


def test_no_pin_says_where_a_package_comes_from() -> None:
    lines = pins("requirements.lock") + pins("requirements-image.lock")
    assert not [line for line in lines if re.search(r"://|^-", line)]
