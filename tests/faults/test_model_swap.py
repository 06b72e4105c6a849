"""The alias moves under load: no request fails, and every answer names the version that made its score."""

from __future__ import annotations

import logging
import math
import time
from itertools import cycle, islice, pairwise
from typing import TYPE_CHECKING

import httpx
import pytest
from support.load import Answer, Report, loading
from support.servers import Serving, serving
from support.versions import FEATURES, Versions, load_champion

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

pytestmark = pytest.mark.slow
logger = logging.getLogger(__name__)

SWAPS = 20
OFFSETS = (10.0, 20.0, 30.0, 40.0)  # far more apart than the scores of one version


def answered_throughout(report: Report) -> bool:
    logger.info("%s", report.answers.described())
    healthy = {(look.live, look.ready) for look in report.watched} == {(200, 200)}
    return healthy and report.answers.by_status().keys() == {200} and not report.answers.problems()


def made_by_its_version(answer: Answer, offsets: Mapping[str, float]) -> bool:
    """Tell whether a score is one of those that the version which the answer names can give."""
    assert answer.model_version
    assert answer.score is not None
    offset = offsets[answer.model_version]
    return offset - 1e-9 <= answer.score <= offset + 1 + 1e-9


def register_versions(versions: Versions) -> dict[str, float]:
    """Register a version for each offset and return the offset of each."""
    return {versions.register(versions.log(offset)): offset for offset in OFFSETS}


def registered(server: Serving) -> list[str]:
    return list(httpx.get(f"{server.url}/v2/models/driver_ranking").json()["versions"])


def test_twenty_swaps_fail_no_request_and_each_answer_names_the_version_that_made_its_score(
    sqlite_project: Path,
) -> None:
    versions = Versions(sqlite_project)
    offsets = register_versions(versions)
    named = list(islice(cycle(offsets), SWAPS))
    versions.name_champion(named[-1])
    asked, swapped = [], [0.0]
    with serving(sqlite_project) as server, loading(server) as load:
        time.sleep(1)
        for version in named:
            versions.name_champion(version)
            asked.append(time.monotonic())
            answer = load_champion(server)
            swapped.append(time.monotonic())
            assert answer.status_code == 200
            time.sleep(0.3)
        report = load.end()

    assert answered_throughout(report)
    logger.info("a load took %.2f s at most", max(b - a for a, b in zip(asked, swapped[1:], strict=True)))
    assert all(made_by_its_version(answer, offsets) for answer in report.answers.all)
    for version, start, end in zip([named[-1], *named], swapped, [*asked, math.inf], strict=True):
        served = report.answers.between(start, end)
        assert len(served) >= 8
        assert served.versions() == {version}


def test_a_version_that_can_not_be_served_is_refused_and_the_one_before_goes_on_under_load(
    sqlite_project: Path,
) -> None:
    versions = Versions(sqlite_project)
    offsets = {versions.register(versions.log(10.0)): 10.0}
    (good,) = offsets
    versions.name_champion(good)
    bad = {
        versions.register(versions.log_without_signature()): "no signature",
        versions.register(versions.log(0.0), service="another_service"): "another_service",
        versions.register(versions.log(0.0, (*FEATURES[:2], "shoe_size"))): "shoe_size",
    }
    with serving(sqlite_project) as server, loading(server) as load:
        for version, reason in bad.items():
            versions.name_champion(version)
            answer = load_champion(server)
            assert answer.status_code == 409
            assert answer.json().keys() == {"error"}
            assert reason in answer.json()["error"]
            assert f"version {good} goes on serving" in answer.json()["error"]
            assert registered(server) == [good]
            time.sleep(0.5)
        report = load.end()

    assert answered_throughout(report)
    assert report.answers.versions() == {good}
    assert all(made_by_its_version(answer, offsets) for answer in report.answers.all)


def test_a_watched_alias_is_followed_without_being_told(sqlite_project: Path) -> None:
    versions = Versions(sqlite_project)
    offsets = register_versions(versions)
    first, second, *_ = offsets
    versions.name_champion(first)
    refused = versions.register(versions.log(0.0), service="another_service")
    with (
        serving(sqlite_project, {"DRIVER_RANKING_WATCH_ALIAS_INTERVAL": "0.5"}) as server,
        loading(server) as load,
    ):
        time.sleep(1)
        moments = []
        for version in (second, refused, first):
            moments.append(time.monotonic())
            versions.name_champion(version)
            time.sleep(2)
        report = load.end()
        refusals = server.log.read_text(encoding="utf-8").count("The new version is refused")

    assert answered_throughout(report)
    assert all(made_by_its_version(answer, offsets) for answer in report.answers.all)
    assert refusals == 1, "what is refused is said once, not at every look"
    followed_within = 1.5
    expected = (first, second, second, first)
    for version, (start, end) in zip(expected, pairwise((0.0, *moments, math.inf)), strict=True):
        settled = report.answers.between(start + followed_within, end) if start else report.answers.between(0, end)
        assert len(settled) >= 8
        assert settled.versions() == {version}
