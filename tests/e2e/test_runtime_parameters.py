"""Names in `--params` that nothing reads are refused, before anything is done."""

from pathlib import Path
from typing import Any, cast

import pytest
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project

from driver_ranking.errors import RequestError
from driver_ranking.runtime_parameters import refuse_unknown


def open_project(project: Path, params: dict[str, Any], env: str | None = None) -> None:
    bootstrap_project(project)
    with KedroSession.create(project_path=project, runtime_params=params, env=env) as session:
        cast("KedroSession", session).load_context()


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"bacth_request": "x.csv"}, "no parameter 'bacth_request'. Did you mean 'batch_request'"),
        ({"rundate": "2026-06-15"}, "Did you mean 'run_date'"),
        ({"model_verison": 1}, "Did you mean 'model_version'"),
        ({"training": {"sede": 1}}, r"no parameter 'training.sede'. Did you mean 'training.seed'"),
        ({"training": {"estimator": {"clas": "x"}}}, "Did you mean 'training.estimator.class'"),
        ({"training": {"thresholds": {"rsme": 1}}}, "Did you mean 'training.thresholds.rmse'"),
        ({"seed": 1}, "no parameter 'seed'"),
        ({"training": 5}, "'training' has parts, give one of them: .*training.seed"),
        ({"top_drivers": {"n": 1}}, "'top_drivers' has no parts, so top_drivers.n is not known"),
        ({"batch_request": {"filepath": "x.csv"}}, "'batch_request' has no parts"),
        ({"training.seed": 1}, "as a dictionary in a dictionary"),
        (
            {"qqqq": 1},
            "no parameter 'qqqq'. Known are: as_known_at, batch_request, best_rows_logged, end, model_version",
        ),
    ],
)
def test_a_name_that_nothing_reads_is_refused(fresh_project: Path, params: dict[str, Any], message: str) -> None:
    with pytest.raises(RequestError, match=message):
        open_project(fresh_project, params)


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"batch_request": "x.csv", "run_date": "2026-06-15", "model_version": 1},
        {"start": "2026-06-01", "end": None, "best_rows_logged": 1, "top_drivers": 3},
        {"training": {"seed": 1, "thresholds": {"mae": 1}, "trusted_types": ["a"]}},
        {"training": {"estimator": {"class": "a.B", "arguments": {"max_depth": 3, "deep": {"er": 1}}}}},
    ],
)
def test_a_known_name_is_taken(fresh_project: Path, params: dict[str, Any]) -> None:
    open_project(fresh_project, params)


def test_a_parameter_of_the_users_own_is_known_where_it_is_defined(fresh_project: Path) -> None:
    (fresh_project / "conf/local/parameters_mine.yml").write_text("mine: {deep: 1, open: {}, any: null}\n", "utf-8")
    (fresh_project / "conf/local/catalog.yml").write_text(
        "other:\n  type: json.JSONDataset\n  filepath: ${runtime_params:elsewhere.path,x.json}\n", "utf-8"
    )
    open_project(fresh_project, {"mine": {"deep": 2, "open": {"x": 1}, "any": {"y": 2}}, "elsewhere": {"path": "y"}})
    with pytest.raises(RequestError, match=r"Did you mean 'elsewhere\.path'"):
        open_project(fresh_project, {"elsewhere": {"pathh": "y"}})
    with pytest.raises(RequestError, match="no parameter 'mine'"):
        open_project(fresh_project, {"mine": {"deep": 2}}, env="base")


def test_the_other_environments_know_theirs(fresh_project: Path) -> None:
    with pytest.raises(RequestError, match="Did you mean 'batch_request'"):
        open_project(fresh_project, {"batch_requests": "x.csv"}, env="spark")


def test_what_is_put_in_from_elsewhere_may_have_parts() -> None:
    refuse_unknown({"a": {"b": 1}}, {"a": None})
