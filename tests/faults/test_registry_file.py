"""The file of Feast's registry is gone while the project is served: what is loaded does not need it."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

import pytest
from support.load import loading
from support.servers import serving
from support.versions import Versions, load_champion

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow
logger = logging.getLogger(__name__)


def test_without_the_feature_registry_what_is_loaded_goes_on_and_only_a_new_load_is_refused(
    sqlite_project: Path,
) -> None:
    versions = Versions(sqlite_project)
    new = versions.register(versions.log(10.0))
    registry = sqlite_project / "data/04_feature/registry.db"
    kept = registry.with_suffix(".kept")
    with serving(sqlite_project) as server, loading(server) as load:
        time.sleep(1)
        gone = time.monotonic()
        registry.rename(kept)
        versions.name_champion(new)
        refused = load_champion(server)
        time.sleep(2)
        assert not registry.exists()  # nothing has made an empty one
        kept.rename(registry)
        back = time.monotonic()
        taken = load_champion(server)
        loaded = time.monotonic()
        time.sleep(1)
        report = load.end()

    for part in (report.answers.between(0, gone), report.answers.between(gone, back), report.answers.between(loaded)):
        logger.info("%s by version %s", part.described(), part.versions())
    logger.info("%s", refused.text)
    assert refused.status_code == 409
    assert refused.json().keys() == {"error"}
    assert "version 1 goes on serving" in refused.json()["error"]
    assert taken.status_code == 200
    assert report.answers.by_status().keys() == {200}
    assert not report.answers.problems()
    assert {(look.live, look.ready) for look in report.watched} == {(200, 200)}
    assert report.answers.between(0, back).versions() == {"1"}
    assert report.answers.between(loaded).versions() == {new}
