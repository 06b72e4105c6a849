"""Stores are where the configuration says, whatever a registry remembers of the places in which it was before.

Feast's plan for its own SQLite store compares the absolute paths of tables in the registry with those of the
configuration: in a project that was copied or moved it drops the tables of the old place, the original's, and makes
none in the new one.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from feast import FeatureStore


def keep_to_configuration(store: "FeatureStore") -> None:
    """Let a store be applied without that plan, as all other kinds of stores are.

    Tables are then made and dropped in the configured file only. The paths that the registry has of this project's
    tables are forgotten, so that Feast's own command does not act on them later.
    """
    store._should_use_plan = lambda: False  # type: ignore[method-assign] # noqa: SLF001 - Feast asks it, and has no setting
    if store.config.registry.registry_type != "file":
        return
    from feast.infra.infra_object import Infra

    remembered = store.registry.get_infra(store.project).infra_objects
    others = [one for one in remembered if not one.name.startswith(f"{store.project}_")]
    if len(others) < len(remembered):
        store.registry.update_infra(Infra(others), store.project)
