"""A feature service for a repo that has none that fits: of the features that were named, or all of what is ranked."""

from collections.abc import Mapping
from typing import Any

import jinja2

from driver_ranking.errors import ProjectInitError
from driver_ranking.feature_store.joinable import keys_of
from driver_ranking.project_init.applied import Applied
from driver_ranking.project_init.choices import Answers, Choices
from driver_ranking.project_init.rendering import TEMPLATES
from driver_ranking.project_init.selection import is_scalar
from driver_ranking.serving.contract import DRIVER


def features_by_view(applied: Applied, choices: Choices, answers: Answers) -> dict[str, list[str]]:
    """Return which features of which views a new feature service is to have.

    Raises:
        ProjectInitError: A feature that was named is not there, or what is ranked can't be told, or has no features.
    """
    if choices.features:
        return _named(applied, choices.features)
    views = {name: view for name, view in applied.defined.views.items() if _is_stored(view)}
    keys = {name: _keys(applied, view) for name, view in views.items()}
    candidate = choices.candidate_key or _candidate(keys, answers)
    alone = [name for name, own in keys.items() if own == {candidate}]
    taken = alone or [name for name, own in keys.items() if candidate in own][:1]
    if not taken:
        known = ", ".join(sorted({repr(key) for own in keys.values() for key in own})) or "none"
        message = f"No feature view has the join key {candidate!r}; the join keys of the feature repo are {known}."
        raise ProjectInitError(message)
    return _distinct({name: views[name] for name in taken})


def write_service(applied: Applied, name: str, features: Mapping[str, list[str]]) -> None:
    """Write a feature service into a copied repo.

    Raises:
        ProjectInitError: A view is in no variable that can be imported.
    """
    variables = applied.repo.variables()
    for view in features:
        if view not in variables or not variables[view][1].isidentifier():
            message = f"The feature view {view!r} is in no variable of its file, so that no service can refer to it."
            raise ProjectInitError(message)
    template = jinja2.Template((TEMPLATES / "feature_service.py.jinja").read_text(encoding="utf-8"), autoescape=False)
    views = [(*variables[view], names) for view, names in features.items()]
    file = applied.repo.path / f"{name}.py"
    if file.exists():
        message = f"The feature repo has a file {file.name} already: give the new feature service another name."
        raise ProjectInitError(message)
    file.write_text(template.render(name=name, views=views), encoding="utf-8")


def _named(applied: Applied, features: tuple[str, ...]) -> dict[str, list[str]]:
    named: dict[str, list[str]] = {}
    for text in features:
        view, _, feature = text.partition(":")
        found = applied.defined.views.get(view)
        known = [one.name for one in found.features] if found is not None else []
        if feature not in known:
            has = (
                f"it has {', '.join(known)}"
                if found is not None
                else f"there are {', '.join(sorted(applied.defined.views))}"
            )
            message = f"The feature repo has no feature {text!r} (view:feature); {has}."
            raise ProjectInitError(message)
        named.setdefault(view, []).append(feature)
    return named


def _is_stored(view: Any) -> bool:  # noqa: ANN401 - Feast has several kinds of views
    return not hasattr(view, "source_feature_view_projections") and getattr(view, "enabled", True) and view.online


def _keys(applied: Applied, view: Any) -> set[str]:  # noqa: ANN401 - as above
    return set(keys_of(view, view.projection, applied.defined))


def _candidate(keys: Mapping[str, set[str]], answers: Answers) -> str:
    """Return what is ranked: the only key, else that of drivers, else what is asked for."""
    known = sorted({key for own in keys.values() for key in own})
    if not known:
        message = "No feature view of the feature repo has a join key: there is nothing that could be ranked."
        raise ProjectInitError(message)
    inferred = known[0] if len(known) == 1 else next((key for key in known if key == DRIVER), None)
    refusal = (
        f"The feature repo has no feature service that fits, and {len(known)} join keys: {', '.join(known)}. Which of "
        f"them names what is ranked? Say so with --candidate-key, or name features with --features."
    )
    return answers.one_of("What is ranked: the join key", known, inferred, refusal)


def _distinct(views: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return what models can take of some views; not again what another view reads from the same file."""
    found: dict[str, list[str]] = {}
    seen: set[tuple[str, str]] = set()
    for name, view in views.items():
        fields = [(view.batch_source.path, field.name) for field in view.features if is_scalar(field)]
        new = [one for one in fields if one not in seen]
        seen.update(new)
        if new:
            found[name] = [feature for _, feature in new]
    if not found:
        message = (
            f"The feature views {', '.join(map(repr, views))} have no feature that a model can take: numbers, "
            f"booleans, texts or bytes."
        )
        raise ProjectInitError(message)
    return found
