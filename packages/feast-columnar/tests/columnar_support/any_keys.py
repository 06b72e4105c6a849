"""Random feature repos: keys of any types, composite and mapped ones and none; features of any scalar type."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from feast import Entity, FeatureService, FeatureView, Field, PushSource, ValueType
from feast.feature_view import DUMMY_ENTITY_ID, DUMMY_ENTITY_VAL
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.type_map import python_values_to_proto_values
from feast.types import Bool, Bytes, FeastType, Float32, Float64, Int32, Int64, String
from hypothesis import strategies as st

from columnar_support.online_repos import HOUR_US, NOON, NOON_US, UNREAD

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from feast import FeatureStore

    from columnar_support.online_repos import OnlineRepo
    from feast_columnar.online.features import OnlineFeatures

KEYS: dict[ValueType, tuple[FeastType, list[Any]]] = {
    ValueType.INT64: (Int64, [-7, 0, 2**40]),
    ValueType.INT32: (Int32, [-7, 0, 2**31 - 1]),
    ValueType.STRING: (String, ["", "north", "Zürich 東京 " * 20]),
    ValueType.BYTES: (Bytes, [b"y", b"\x00\xff", b"north"]),
}
VALUES: dict[FeastType, list[Any]] = {
    Float32: [0.5, -3.25],
    Float64: [0.1, -1e300],
    Int32: [-3, 7],
    Int64: [2**40, -1],
    Bool: [True, False],
    String: ["", "pizza", "ß" * 70, "x" * 127, "x" * 128],
    Bytes: [b"", b"\x00\xff", b"y" * 200],
}
TIMES = [NOON, NOON - timedelta(hours=1), NOON - timedelta(hours=2), NOON + timedelta(seconds=1)]
TTLS = [None, timedelta(hours=1), timedelta(hours=2)]


@dataclass(frozen=True)
class DrawnView:
    """A view: its join keys with what requests call them, its features, and its rows by key."""

    name: str
    keys: tuple[str, ...]
    renamed: dict[str, str]
    features: dict[str, FeastType]
    ttl: timedelta | None
    rows: dict[tuple[Any, ...], tuple[datetime, dict[str, Any]]]


@dataclass(frozen=True)
class DrawnRepo:
    """A repo, what is asked of it, and in how many rows."""

    keys: dict[str, ValueType]
    views: tuple[DrawnView, ...]
    as_bool: tuple[str, ...]
    count: int
    asked: dict[str, list[Any]] = field(default_factory=dict)


@st.composite
def drawn_views(draw: st.DrawFn, name: str, keys: Mapping[str, ValueType]) -> DrawnView:
    own = draw(st.lists(st.sampled_from(sorted(keys)), unique=True, max_size=3))
    renamed = draw(st.none() | st.sampled_from(own)) if own else None
    kinds = draw(st.lists(st.sampled_from(list(VALUES)), min_size=1, max_size=4, unique=True))
    features = {f"{name}_{kind}".lower(): kind for kind in kinds}
    key = st.tuples(*(st.sampled_from(KEYS[keys[one]][1]) for one in own))
    cells = {feature: st.none() | st.sampled_from(VALUES[kind]) for feature, kind in features.items()}
    row = st.tuples(st.sampled_from(TIMES), st.fixed_dictionaries(cells))
    whole = (NOON, {feature: VALUES[kind][0] for feature, kind in features.items()})  # Feast writes no null table
    rows = {**draw(st.dictionaries(key, row, max_size=6)), draw(key): whole}
    mapped = {renamed: f"other_{renamed}"} if renamed else {}
    return DrawnView(name, tuple(own), mapped, features, draw(st.sampled_from(TTLS)), rows)


@st.composite
def drawn_repos(draw: st.DrawFn) -> DrawnRepo:
    types = draw(st.lists(st.sampled_from(list(KEYS)), min_size=1, max_size=3))
    keys = {f"key_{place}": kind for place, kind in enumerate(types)}
    count = draw(st.integers(1, 3))
    views = tuple(draw(drawn_views(name, keys)) for name in ("one", "two", "three")[:count])
    booleans = [feature for view in views for feature, kind in view.features.items() if kind == Bool]
    rows = draw(st.integers(2, 6))
    plain = {one: keys[one] for view in views for one in view.keys if one not in view.renamed}
    mapped = {view.renamed[one]: keys[one] for view in views for one in view.renamed}
    asked = {}
    for name, kind in {**plain, **mapped}.items():  # plain ones first: Feast lets the last one be a mapped view's
        size = draw(st.sampled_from([1, rows]))
        asked[name] = draw(st.lists(st.sampled_from(KEYS[kind][1]), min_size=size, max_size=size))
    return DrawnRepo(keys, views, tuple(one for one in booleans if draw(st.booleans())), rows, asked)


def made(repo: OnlineRepo, drawn: DrawnRepo) -> FeatureStore:
    """Apply a drawn repo with the service `service`, and write its rows through Feast."""
    entities = {
        name: Entity(name=f"{name}_entity", join_keys=[name], value_type=kind) for name, kind in drawn.keys.items()
    }
    views = [_view(repo, view, entities) for view in drawn.views]
    projected = [
        made_view.with_join_key_map(view.renamed) if view.renamed else made_view
        for view, made_view in zip(drawn.views, views, strict=True)
    ]
    store = repo.open()
    store.apply([*entities.values(), *views, FeatureService(name="service", features=projected)])
    for view in drawn.views:
        if view.keys:
            store.write_to_online_store(view.name, df=_frame(view))
        else:
            _write_without_keys(store, view)
    return store


def _write_without_keys(store: FeatureStore, view: DrawnView) -> None:
    """Write the row as a materialization does: `write_to_online_store` leaves out the stand-in for the key."""
    key = EntityKey(join_keys=[DUMMY_ENTITY_ID], entity_values=[Value(string_val=DUMMY_ENTITY_VAL)])
    ((at, cells),) = view.rows.values()
    values = {
        name: python_values_to_proto_values([cells[name]], kind.to_value_type())[0]
        for name, kind in view.features.items()
    }
    provider = store._get_provider()  # noqa: SLF001 - Feast has no other door
    provider.online_write_batch(store.config, store.get_feature_view(view.name), [(key, values, at, None)], None)


def _view(repo: OnlineRepo, view: DrawnView, entities: Mapping[str, Entity]) -> FeatureView:
    source = repo.view({"unused": Float32}, f"{view.name}_source").batch_source
    schema = [Field(name=feature, dtype=kind) for feature, kind in view.features.items()]
    keys = [Field(name=one, dtype=KEYS[entities[one].value_type][0]) for one in view.keys]
    pushed = PushSource(name=f"{view.name}_pushed", batch_source=source)
    return FeatureView(
        name=view.name,
        entities=[entities[one] for one in view.keys],
        schema=[*keys, *schema],
        source=pushed,
        ttl=view.ttl,
    )


def _frame(view: DrawnView) -> pd.DataFrame:
    records = [
        {**dict(zip(view.keys, key, strict=True)), "event_timestamp": at, **cells}
        for key, (at, cells) in view.rows.items()
    ]
    return pd.DataFrame(records).astype(dict.fromkeys(view.features, object))


def expected(store: FeatureStore, drawn: DrawnRepo) -> dict[str, list[tuple[Any, int]]]:
    """Return what Feast answers, by column, each value with its event time, and the ttl applied by a plain loop."""
    asked = {name: values * (drawn.count // len(values)) for name, values in drawn.asked.items()}
    rows = {**asked, "row": list(range(drawn.count))}  # which Feast counts the rows by where there is no key
    answer = store.get_online_features(store.get_feature_service("service"), rows).to_dict(
        include_event_timestamps=True
    )
    found = {}
    for view in drawn.views:
        ttl = 10 * HOUR_US if view.ttl is None else view.ttl // timedelta(microseconds=1)
        for feature in view.features:
            pairs = zip(answer[feature], answer[f"{feature}__ts"], strict=True)
            found[feature] = [
                (value, 1_000_000 * time) if NOON_US - ttl <= 1_000_000 * time <= NOON_US else (None, UNREAD)
                for value, time in pairs
            ]
    return found


def by_column(columns: Sequence[str], features: OnlineFeatures) -> dict[str, list[tuple[Any, int]]]:
    """Return what was read, likewise."""
    numbers = {
        name: [None if np.isnan(value) else value for value in features.matrix[:, place].tolist()]
        for place, name in enumerate(columns)
    }
    others = {name: column.tolist() for name, column in features.others.items()}
    times = features.event_times()
    return {name: list(zip(column, times[name].tolist(), strict=True)) for name, column in (numbers | others).items()}
