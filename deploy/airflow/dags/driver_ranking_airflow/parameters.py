"""From the configuration of an Airflow run to what ``kedro run --params`` takes. Needs the standard library alone."""

import json
import math
import re
from collections.abc import Collection, Mapping
from datetime import UTC, date, datetime

RUN_DATE = "run_date"

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*", re.ASCII)
_BITS = 1_000  # `math.isfinite` takes no more than 1024, Kedro reads numbers as floats first
# Kedro splits at commas whatever is around them; OmegaConf replaces ${...}, Kubernetes $(...)
_FORBIDDEN = re.compile(r"[,$\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff\ud800-\udfff]")


class ParameterError(ValueError):
    """The configuration of a run can't be passed on to Kedro."""


def run_date(logical_date: datetime | None, run_after: datetime) -> date:
    """Return the date of a run in UTC: that of its logical date, or of its start where it was triggered without one."""
    return (logical_date or run_after).astimezone(UTC).date()


def kedro_params(date_of_run: date, configuration: object, accepted: Collection[str]) -> str:
    """Return the value of ``--params``: the date, then the configuration in its order.

    Strings are quoted as YAML quotes them, so that Kedro reads the same value back, of the same type.

    Args:
        date_of_run: The date of the run.
        configuration: ``dag_run.conf``: scalars by parameter name; a dot leads into a parameter with parts.
        accepted: What may be set: the first parts of names.

    Raises:
        ParameterError: A name or a value can't be passed on; the message says which, and what to do.
    """
    given = configuration or {}
    if not isinstance(given, Mapping):
        message = f"The configuration of a run is an object of parameters by name, not {given!r}."
        raise ParameterError(message)
    passed: dict[str, object] = {RUN_DATE: date_of_run.isoformat()}
    for name, value in given.items():
        _check_name(name, accepted)
        _check_value(name, value)
        passed[name] = value
    return ",".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in passed.items())


def _check_name(name: str, accepted: Collection[str]) -> None:
    if name == RUN_DATE:
        message = "run_date can't be set: it is the date of the run. Trigger the DAG with that logical date instead."
        raise ParameterError(message)
    if not _NAME.fullmatch(name) or name.partition(".")[0] not in accepted:
        known = ", ".join(sorted(accepted)) or "nothing"
        message = f"{name!r} can't be set for this DAG. Its configuration may set: {known}."
        raise ParameterError(message)


def _check_value(name: str, value: object) -> None:
    if isinstance(value, str):
        found = _FORBIDDEN.search(value)
        problem = f"has {found[0]!r} in it, which can't be passed on" if found else ""
    elif isinstance(value, int) and value.bit_length() > _BITS:
        message = f"The value of {name!r} is a whole number of more than {_BITS} bits, which nothing takes."
        raise ParameterError(message)
    elif value is None or isinstance(value, (bool, int, float)):
        problem = "" if value is None or math.isfinite(value) else "is no finite number"
    else:
        problem = "is not a text, a number, true, false or null. Set parts of a parameter by dotted names"
    if problem:
        message = f"The value of {name!r}, {value!r}, {problem}."
        raise ParameterError(message)
