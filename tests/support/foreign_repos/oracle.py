"""What batch and online serving have to say of a foreign repo, by Feast's own store and the model's own library."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import numpy as np
import yaml

from driver_ranking.feature_store.repo import FeatureRepo
from support.queries import entity_rows

if TYPE_CHECKING:
    import pandas as pd

    from support.foreign_repos.project import ForeignProject

_CONFIG = "feature_store_oracle.yaml"


def expected_rows(project: ForeignProject) -> pd.DataFrame:
    """Return what is known of each row of the requests, in their order: features, ``status`` and ``score``.

    Features are as they are stored, null where they are missing; scores are those with the defaults in their place.
    """
    names = list(project.contract.features)
    known = _feast_features(project)[names].astype(object)
    filled = known.assign(
        **{name: known[name].where(known[name].notna(), value) for name, value in project.defaults.items()}
    )
    scored = filled.notna().all(axis=1)
    defaulted = scored & known.isna().any(axis=1)
    status = np.where(scored, np.where(defaulted, "defaulted", "ok"), "missing_features")
    score = np.full(len(known), np.nan)
    score[scored] = project.scores(filled[scored].astype(project.example.dtypes.to_dict()))
    return known.assign(status=status, score=score)


def _feast_features(project: ForeignProject) -> pd.DataFrame:
    """Return the features of all rows that are asked about, by Feast's own duckdb store, and those of the request."""
    folder = project.folder / "feature_repo"
    config = yaml.safe_load((folder / "feature_store.yaml").read_text(encoding="utf-8"))
    config |= {"offline_store": {"type": "duckdb"}, "registry": {"path": "../data/04_feature/oracle.db"}}
    config["online_store"]["path"] = "../data/04_feature/oracle_online.db"
    (folder / _CONFIG).write_text(yaml.safe_dump(config), encoding="utf-8")
    repo = FeatureRepo(folder, folder / _CONFIG)
    store = repo.apply(repo.definitions())
    rows = entity_rows(project).infer_objects()
    rows = rows.assign(event_timestamp=project.now, row=range(len(rows)))
    full = any("__" in name for name in project.contract.features)
    service = store.get_feature_service(project.training["feature_service"])
    with contextlib.chdir(folder):  # from where this store takes paths
        found = store.get_historical_features(rows, service, full_feature_names=full).to_df()
    return found.sort_values("row", ignore_index=True)
