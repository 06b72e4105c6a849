"""The names that ``--params`` may give: those of the parameter files, and those that other configuration asks for."""

import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any, Final

from kedro.config import MissingConfigException, OmegaConfigLoader
from omegaconf import OmegaConf

from driver_ranking.errors import RequestError

_ASKED_FOR: Final = re.compile(r"\$\{\s*runtime_params:\s*([^\s,}]+)")
_GLOBAL: Final = re.compile(r"\$\{globals:(\w+)\}")


def known_parameters(loader: OmegaConfigLoader) -> dict[str, Any]:
    """Return the parameters that a run has or asks for, as they are before any is given, as nested dictionaries."""
    known: dict[str, Any] = {}
    for key in ("parameters", *(key for key in loader.config_patterns if key not in {"parameters", "globals"})):
        for raw in _raw_files(loader, key):
            if key == "parameters":
                _merge(known, _with_globals(raw, loader["globals"]))
            for name in _ASKED_FOR.findall("\n".join(_texts(raw))):
                _merge(known, _nested(name))
    return known


def refuse_unknown(given: Mapping[str, Any], known: Mapping[str, Any], path: str = "") -> None:
    """Refuse names that nothing reads.

    What has no parts of its own in the configuration, or an empty group, takes whatever it is given, and so do the
    ``arguments`` beside a ``class``: they are the class's.

    Raises:
        RequestError: A name is not known, or a value is given for a whole group.
    """
    for name, value in given.items():
        full = f"{path}{name}"
        if name not in known:
            raise RequestError(_unknown(full, path, known))
        if name == "arguments" and "class" in known:
            continue
        parts = known[name]
        if isinstance(parts, Mapping) and parts:
            if not isinstance(value, Mapping):
                message = f"The parameter {full!r} has parts, give one of them: {_listed(parts, full + '.')}."
                raise RequestError(message)
            refuse_unknown(value, parts, f"{full}.")
        elif isinstance(value, Mapping) and value and parts is not None and not isinstance(parts, Mapping):
            message = f"The parameter {full!r} has no parts, so {full}.{next(iter(value))} is not known."
            raise RequestError(message)


def _unknown(full: str, path: str, known: Mapping[str, Any]) -> str:
    near = get_close_matches(full, [f"{path}{name}" for name in _paths(known)], n=1, cutoff=0.5)
    if near == [full]:
        return f"The parameter {full!r} has to be given as a dictionary in a dictionary, not by a name with dots."
    meant = f"Did you mean {near[0]!r}? " if near else ""
    return f"There is no parameter {full!r}. {meant}Known are: {_listed(known, path)}."


def _listed(known: Mapping[str, Any], path: str) -> str:
    return ", ".join(sorted(f"{path}{name}" for name in known))


def _paths(known: Mapping[str, Any], path: str = "") -> Iterator[str]:
    for name, value in known.items():
        yield f"{path}{name}"
        if isinstance(value, Mapping):
            yield from _paths(value, f"{path}{name}.")


def _raw_files(loader: OmegaConfigLoader, key: str) -> Iterator[dict[Any, Any]]:
    """Yield what the files of one kind say, in the base and in the run's environment, with nothing put in."""
    for environment in dict.fromkeys((loader.base_env, loader.env or loader.default_run_env)):
        folder = loader._get_conf_env_path(environment)  # noqa: SLF001 - Kedro has no other way to what is not resolved
        try:
            files = loader._read_dir_configs(folder, loader.config_patterns[key], key, set())  # noqa: SLF001 - as above
        except MissingConfigException:  # Kedro says so where it matters
            continue
        for file in files.values():
            raw = OmegaConf.to_container(file, resolve=False)
            if isinstance(raw, dict):
                yield raw


def _with_globals(raw: Mapping[Any, Any], values: Mapping[str, Any]) -> dict[Any, Any]:
    """Return parameters with the globals that they are, so that it is known which of them have parts."""
    named = {name: _GLOBAL.fullmatch(value) for name, value in raw.items() if isinstance(value, str)}
    return {**raw, **{name: values.get(found[1]) for name, found in named.items() if found}}


def _texts(raw: object) -> Iterator[str]:
    if isinstance(raw, Mapping):
        for value in raw.values():
            yield from _texts(value)
    elif isinstance(raw, list):
        for value in raw:
            yield from _texts(value)
    elif isinstance(raw, str):
        yield raw


def _nested(name: str) -> dict[str, Any]:
    first, _, rest = name.partition(".")
    return {first: _nested(rest) if rest else None}


def _merge(known: dict[str, Any], more: Mapping[Any, Any]) -> None:
    for name, value in more.items():
        if isinstance(value, Mapping):
            inner = known.get(name)
            known[str(name)] = inner if isinstance(inner, dict) else {}
            _merge(known[str(name)], value)
        elif name not in known:  # what is put in from elsewhere may have any parts
            known[str(name)] = None if isinstance(value, str) and "${" in value else value
