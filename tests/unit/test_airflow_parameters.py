"""What the configuration of an Airflow run becomes: what Kedro reads back is what was given, or it is refused."""

import string
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any, cast

import click
import pytest
from driver_ranking_airflow.parameters import ParameterError, kedro_params, run_date
from hypothesis import given
from hypothesis import strategies as st
from kedro.framework.cli.utils import _split_params

DAY = date(2026, 6, 15)
ACCEPTED = ["batch_request", "training"]


def read_by_kedro(params: str) -> dict[str, Any]:
    return cast("dict[str, Any]", _split_params(click.Context(click.Command("run")), None, params))


TEXTS = st.text(st.characters(exclude_categories=["Cc", "Cs", "Cn", "Co", "Zl", "Zp"], exclude_characters=",$\ufeff"))
SCALARS = TEXTS | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False) | st.booleans()


@given(SCALARS)
def test_kedro_reads_the_value_that_was_given(value: object) -> None:
    read = read_by_kedro(kedro_params(DAY, {"batch_request": value}, ACCEPTED))
    assert read == {"run_date": "2026-06-15", "batch_request": value}
    assert type(read["batch_request"]) is type(value)


@given(st.text(string.printable + "\u2028\x85é", max_size=12))
def test_a_text_is_passed_on_as_it_is_or_refused(value: str) -> None:
    try:
        params = kedro_params(DAY, {"batch_request": value}, ACCEPTED)
    except ParameterError as error:
        assert "batch_request" in str(error)  # noqa: PT017 - either is right
    else:
        assert read_by_kedro(params) == {"run_date": "2026-06-15", "batch_request": value}


def test_a_dot_leads_into_a_parameter() -> None:
    params = kedro_params(DAY, {"training.thresholds.rmse": 0.5, "training.seed": 3}, ACCEPTED)
    assert read_by_kedro(params)["training"] == {"thresholds": {"rmse": 0.5}, "seed": 3}


@pytest.mark.parametrize(
    "value",
    ["a,run_date=2020-01-01", "a\nb", "a\rb", "${oc.env:HOME}", "$(REDIS_PASSWORD)", "\x00", "a\u2028b", "\ud800"],
)
def test_a_text_that_would_be_split_or_replaced_is_refused(value: str) -> None:
    with pytest.raises(ParameterError, match=r"The value of 'batch_request', .* can't be passed on"):
        kedro_params(DAY, {"batch_request": value}, ACCEPTED)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 10**400, None, ["a"], {"a": 1}])
def test_what_is_no_finite_scalar_is_refused(value: object) -> None:
    with pytest.raises(ParameterError, match="The value of 'training'"):
        kedro_params(DAY, {"training": value}, ACCEPTED)


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (10**400, "a whole number of 1329 bits, is outside what 64 bits hold"),
        (-(10**10_000), "a whole number of 33220 bits, is outside what 64 bits hold"),
        (2**63, "a whole number of 64 bits, is outside"),
        ("x" * 1_000_000, "has 1000000 characters; 4096 are the most"),
        ("," * 1_000_000, "has ',' in it, which can't be passed on"),
        (["x" * 1_000_000] * 3, "a list of 3, is not a text, a number"),
        ({"a": {"b": [10**10_000]}}, "an object of 1, is not a text, a number"),
    ],
    ids=["positive", "negative", "just too large", "text", "commas", "list", "object"],
)
def test_an_absurd_value_is_refused_in_a_short_message(value: object, problem: str) -> None:
    with pytest.raises(ParameterError) as refused:
        kedro_params(DAY, {"training.seed": value}, ACCEPTED)
    assert problem in str(refused.value)
    assert len(str(refused.value)) < 400


def test_a_configuration_that_no_program_takes_as_an_argument_is_refused() -> None:
    configuration = {f"training.part_{number}": "é" * 1000 for number in range(40)}
    with pytest.raises(ParameterError, match="configuration of the run is too long"):
        kedro_params(DAY, configuration, ACCEPTED)


@pytest.mark.parametrize(
    "configuration",
    [["x"] * 1_000_000, "x" * 1_000_000, 10**10_000, {"x" * 1_000_000: 1}],
    ids=["list", "text", "number", "name"],
)
def test_an_absurd_configuration_is_refused_in_a_short_message(configuration: object) -> None:
    with pytest.raises(ParameterError) as refused:
        kedro_params(DAY, configuration, ACCEPTED)
    assert len(str(refused.value)) < 400


@pytest.mark.parametrize(
    "name",
    ["", "batch_requst", "batch_request ", "batch_request=1", "a,b", "training.", ".training", "training[0]", "--env"],
)
def test_a_name_that_the_pipeline_does_not_take_is_refused(name: str) -> None:
    with pytest.raises(ParameterError, match=r"can't be set for this DAG\. .* may set: batch_request, training"):
        kedro_params(DAY, {name: 1}, ACCEPTED)


def test_the_date_is_not_a_parameter() -> None:
    with pytest.raises(ParameterError, match="Trigger the DAG with that logical date instead"):
        kedro_params(DAY, {"run_date": "2026-06-14"}, ["run_date"])


def test_a_configuration_that_is_no_object_is_refused() -> None:
    with pytest.raises(ParameterError, match="object of parameters by name"):
        kedro_params(DAY, ["batch_request"], ACCEPTED)


@pytest.mark.parametrize("configuration", [None, {}])
def test_without_a_configuration_only_the_date_is_passed_on(configuration: dict[str, object] | None) -> None:
    assert kedro_params(DAY, configuration, ACCEPTED) == 'run_date="2026-06-15"'


def test_the_date_is_that_of_the_logical_date_in_utc() -> None:
    late = datetime(2026, 6, 15, 22, tzinfo=timezone(-timedelta(hours=5)))
    assert run_date(late, datetime(2026, 7, 1, tzinfo=UTC)) == date(2026, 6, 16)


def test_without_a_logical_date_it_is_that_of_the_start() -> None:
    assert run_date(None, datetime(2026, 7, 1, 23, tzinfo=UTC)) == date(2026, 7, 1)
