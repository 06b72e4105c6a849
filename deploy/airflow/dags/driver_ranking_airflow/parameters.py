"""From the configuration of an Airflow run to what ``kedro run --params`` takes. Needs the standard library alone."""

import json
import math
import re
from collections.abc import Collection, Mapping
from datetime import UTC, date, datetime

RUN_DATE = "run_date"
LONGEST_TEXT = 4096
"""Characters of a text; a path is no longer on Linux."""
_LONGEST_PARAMS = 65536  # bytes: half of what Linux takes as one argument of a program
_WHOLE_NUMBERS = range(-(2**63), 2**63)
_LONGEST_SHOWN = 200

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*", re.ASCII)
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
        message = f"The configuration of a run is an object of parameters by name, not {shown(given)}."
        raise ParameterError(message)
    passed: dict[str, object] = {RUN_DATE: date_of_run.isoformat()}
    for name, value in given.items():
        _check_name(name, accepted)
        _check_value(name, value)
        passed[name] = value
    params = ",".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in passed.items())
    if len(params.encode()) > _LONGEST_PARAMS:
        message = f"The configuration of the run is too long: all of it together may have {_LONGEST_PARAMS} bytes."
        raise ParameterError(message)
    return params


def shown(value: object) -> str:
    """Return a value as a message shows it: short, whatever it is."""
    if isinstance(value, int) and value not in _WHOLE_NUMBERS:
        return f"a whole number of {value.bit_length()} bits"
    if isinstance(value, (list, tuple, Mapping)):
        return f"a list of {len(value)}" if not isinstance(value, Mapping) else f"an object of {len(value)}"
    text = repr(value[: _LONGEST_SHOWN + 1] if isinstance(value, str) else value)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."


def _check_name(name: str, accepted: Collection[str]) -> None:
    if name == RUN_DATE:
        message = "run_date can't be set: it is the date of the run. Trigger the DAG with that logical date instead."
        raise ParameterError(message)
    if not _NAME.fullmatch(name) or name.partition(".")[0] not in accepted:
        known = ", ".join(sorted(accepted)) or "nothing"
        message = f"{shown(name)} can't be set for this DAG. Its configuration may set: {known}."
        raise ParameterError(message)


def _check_value(name: str, value: object) -> None:
    problem = _problem(value)
    if problem:
        message = f"The value of {shown(name)}, {shown(value)}, {problem}."
        raise ParameterError(message)


def _problem(value: object) -> str:
    if isinstance(value, str):
        found = _FORBIDDEN.search(value)
        if found:
            return f"has {found[0]!r} in it, which can't be passed on"
        return f"has {len(value)} characters; {LONGEST_TEXT} are the most" if len(value) > LONGEST_TEXT else ""
    if isinstance(value, int):  # before any float: a larger one has no place in it
        return "" if value in _WHOLE_NUMBERS else "is outside what 64 bits hold"
    if isinstance(value, float):
        return "" if math.isfinite(value) else "is no finite number"
    if value is None:  # what Airflow makes of 1e400 and NaN, too
        return "is null, or a number that Airflow can't hold. Leave it out to have the project's own value"
    return "is not a text, a number, true or false. Set parts of a parameter by dotted names"
