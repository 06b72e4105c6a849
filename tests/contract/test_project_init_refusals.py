"""What `driver_ranking init` can't do is refused by name, before a file is there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest
from support.feast_repos import BOTH, KEYS, SHOPS, TOWNS, made, own_orders, small_repo, walks, weather
from support.projects import digests

from driver_ranking.errors import ProjectInitError
from driver_ranking.project_init.choices import Choices, Inferred
from driver_ranking.project_init.project import make_project

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def shops(tmp_path: Path) -> Path:
    """A repo with one key and no feature service."""
    return small_repo(tmp_path / "theirs", SHOPS, {"stats": walks(KEYS)})


REFUSED: dict[str, tuple[str, dict[str, Any], str]] = {
    "no such service": (BOTH, {"feature_service": "none"}, "has no feature service 'none'; it has: both"),
    "an ambiguous key": (BOTH, {"feature_service": "both"}, "are 'shop', 'town'; which of them .* --candidate-key"),
    "an ambiguous key of a repo without services": (TOWNS, {}, "2 join keys: shop, town. Which of them"),
    "no such key": (BOTH, {"feature_service": "both", "candidate_key": "x"}, "'x' is no join key of the feature serv"),
    "no such key of a repo without services": (TOWNS, {"candidate_key": "x"}, "No feature view has the join key 'x'"),
    "no such feature": (BOTH, {"features": ("stats:x",)}, "no feature 'stats:x' .*; it has sales, noise"),
    "no such view": (BOTH, {"features": ("x:y",)}, "no feature 'x:y' .*; there are stats, weather"),
    "a service that is taken": (BOTH, {"features": ("stats:sales",), "feature_service": "both"}, "it is taken"),
    "no orders": (SHOPS, {"orders": "none.csv"}, "There are no orders at none.csv"),
    "a label without orders": (SHOPS, {"label": "x"}, "--label and --request-features name columns of orders"),
    "a name that no URL has": (SHOPS, {"name": "a/b"}, "'a/b' can't be a name"),
    "no numbers": (
        SHOPS.replace("Float64", "String"),
        {},
        "of 'shop', 'stats', have no numeric feature, so that no label can be made",
    ),
    "nothing that a model takes": (SHOPS.replace("Float64", "Array(Float64)"), {}, "have no feature that a model can"),
    "nothing to rank": (SHOPS.replace("entities=[shop]", "entities=[]"), {}, "No feature view .* has a join key"),
    "another kind of source": (
        SHOPS + 'big = FeatureView(name="big", entities=[shop], source=BigQuerySource(name="b", table="t"))',
        {},
        "Feature view 'big' has a BigQuerySource; only .* Export it to Parquet",
    ),
    "a source that is not there": (
        SHOPS.replace("data/stats", "data/none"),
        {},
        "there is nothing at .*theirs/data/no",
    ),
    "a source that is not there, absolutely": (SHOPS.replace("data/stats", "/none"), {}, "there is nothing at /none"),
    "a source too far away": (SHOPS.replace("data/stats", "../../stats"), {}, "too far above the feature repo"),
    "what can't be imported": ("import nothing_of_this_name", {}, "definitions in .*theirs can't be read: No module"),
    "an estimator that is not there": (SHOPS, {"estimator": "sklearn.linear_model.None"}, "No orders .* can be made"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_done_is_refused_by_name_and_nothing_is_left(tmp_path: Path, case: str) -> None:
    definitions, choices, message = REFUSED[case]
    choices = {name: tmp_path / value if name == "orders" else value for name, value in choices.items()}
    repo = small_repo(tmp_path / "theirs", definitions, {"stats": walks(KEYS), "weather": weather()})
    before = digests(tmp_path)
    with pytest.raises(ProjectInitError, match=message.replace("at none.csv", "at .*none.csv")) as refused:
        made(repo, **choices)
    assert ".partial" not in str(refused.value)
    assert digests(tmp_path) == before
    assert [path.name for path in tmp_path.iterdir()] == ["theirs"]


def test_orders_without_features_are_refused_with_what_they_lack(shops: Path) -> None:
    file = own_orders(shops)
    pd.read_csv(file, dtype=str).assign(event_timestamp="2001-01-01T00:00:00Z").to_csv(file, index=False)
    with pytest.raises(ProjectInitError, match="None of the 60 orders has the feature 'sales', 'noise'"):
        made(shops, orders=file, label="profit")


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({}, "which column is the label. It has 'size', 'kind', 'profit'"),
        ({"request_features": ("size", "kind", "profit")}, "It has none that is left"),
        ({"label": "x"}, "the column 'x' is missing"),
        ({"label": "profit", "request_features": ("x",)}, "lack the column 'x'|'x'"),
        ({"label": "profit", "recent": True}, "leave out one of them"),
    ],
)
def test_orders_that_do_not_fit_are_refused(shops: Path, choices: dict[str, Any], message: str) -> None:
    file = own_orders(shops)
    with pytest.raises(ProjectInitError, match=message):
        made(shops, orders=file, **choices)
    assert not (shops.parent / "made").exists()


def test_a_variable_of_the_configuration_that_is_not_set_is_told_of_the_users_file(tmp_path: Path) -> None:
    repo = small_repo(tmp_path / "theirs", SHOPS, {"stats": walks(KEYS)}, "flags: {some: '${NO_SUCH_VARIABLE}'}\n")
    with pytest.raises(ProjectInitError, match=r"theirs/feature_store.yaml needs the environment variables NO_SUCH"):
        made(repo)


def test_only_a_folder_that_is_new_or_empty_is_taken(shops: Path, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full/file").touch()
    for folder in (tmp_path / "full", tmp_path / "full/file", tmp_path / "full/file/made"):
        with pytest.raises(ProjectInitError, match="is there already, and is no empty folder"):
            make_project(Choices(folder, shops), Inferred())
    with pytest.raises(ProjectInitError, match="is in the feature repo"):
        make_project(Choices(shops / "inside", shops), Inferred())
    with pytest.raises(ProjectInitError, match=r"feature_store.yaml is missing\. Did you mean .*theirs\?"):
        make_project(Choices(tmp_path / "new", tmp_path), Inferred())
    (tmp_path / "2 shops").mkdir()
    assert make_project(Choices(tmp_path / "2 shops", shops), Inferred()).name == "project_2_shops"


@pytest.mark.parametrize("text", ["a: [", "- list", "provider: local"])
def test_a_configuration_that_says_nothing_is_refused(tmp_path: Path, text: str) -> None:
    repo = small_repo(tmp_path / "theirs", SHOPS, {})
    (repo / "feature_store.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(ProjectInitError, match=r"can't be read as YAML|names no `project`"):
        made(repo)


class Answered(Inferred):
    """Answers to some questions."""

    def text(self, question: str, inferred: str) -> str:
        return "much" if question.startswith("Threshold") else inferred


def test_an_answer_that_is_no_number_is_no_threshold(shops: Path) -> None:
    with pytest.raises(ProjectInitError, match="'much' is no number, and no threshold of the RMSE"):
        make_project(Choices(shops.parent / "made", shops), Answered())
