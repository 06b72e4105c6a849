"""What Feast 0.67 can apply once, but fails to compare with what is applied already when it is used or applied again.

- A batch feature view with a transformation: functions are pickled anew each time, and where they differ Feast looks
  for a field that only on-demand and stream views have.
- A feature service that has one view both under its own name and under an alias: Feast sorts them by their aliases.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from feast.infra.registry.base_registry import BaseRegistry


def order_projections() -> None:
    """Let Feast compare feature services that have one view under several names, one of which is its own."""
    from feast.feature_view_projection import FeatureViewProjection

    projections: Any = FeatureViewProjection
    projections.__lt__ = lambda one, other: _order(one) < _order(other)


def _order(projection: Any) -> tuple[str, str, list[tuple[str, str]]]:  # noqa: ANN401 - Feast leaves it untyped
    return projection.name, projection.name_alias or "", sorted(projection.join_key_map.items())


def settle_transformations(registry: "BaseRegistry", project: str, views: Iterable[Any]) -> None:
    """Let views with a transformation be compared with what is applied already.

    A view whose function has changed is taken out of the registry: it is applied as a new one, and so materialized from
    its beginning.

    Args:
        registry: What has been applied.
        project: The Feast project.
        views: The feature views that are to be applied.
    """
    defined = {view.name: view for view in views if getattr(view, "feature_transformation", None)}
    for applied in registry.list_feature_views(project) if defined else ():
        if applied.name not in defined:
            continue
        view, before = defined[applied.name], applied.to_proto().spec.feature_transformation
        if _source(before) == _source(view.to_proto().spec.feature_transformation):
            view._raw_feature_transformation_proto = before  # noqa: SLF001 - what Feast writes, where it is there
        else:
            registry.delete_feature_view(applied.name, project)


def _source(transformation: Any) -> tuple[str, str, str]:  # noqa: ANN401 - a protobuf message
    function = transformation.user_defined_function
    return function.name, function.mode, function.body_text
