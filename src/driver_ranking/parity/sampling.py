"""Keys that are read now, by the reader that the service has, as rows of a log: what a deployment would answer."""

import json
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from driver_ranking.errors import RequestError
from driver_ranking.feature_store.library_errors import own_errors
from driver_ranking.feature_store.online import open_reader
from driver_ranking.feature_store.repo import find_service
from driver_ranking.features import FeatureRows
from driver_ranking.model import ModelRegistry, RegisteredModel
from driver_ranking.model_features import ModelFeatures, features_of
from driver_ranking.parity.answers import Chunk, Layout
from driver_ranking.parity.brought import NONE
from driver_ranking.parity.rows import NOT_FOUND, NULL, OUTSIDE, PRESENT
from driver_ranking.parity.sides import Sides, sides_of
from driver_ranking.prediction_log import columns as names
from driver_ranking.prediction_log.description import model_columns, model_description
from driver_ranking.prediction_log.schema import LAYOUT, LoggedView, LogSchema, log_schema
from driver_ranking.ranking import STATUSES, ScoredRows, predicted_rows, ranks_within
from feast_columnar.freshness import microseconds_now
from feast_columnar.offline.query import view_join

if TYPE_CHECKING:
    from feast import FeatureStore

    from feast_columnar.online.features import OnlineFeatures, RowTimes

CANDIDATES: Final = 50
"""How many of the keys are one request."""
_TIMEOUT: Final = 60.0


def sampled(store: "FeatureStore", registry: ModelRegistry, count: int) -> Chunk:
    """Read so many keys of the sources online, score them, and return that as rows of a log.

    What comes with requests alone is missing in them.

    Args:
        store: The applied feature store.
        registry: The registry of the model.
        count: How many keys.

    Raises:
        RequestError: The sources have no keys.
        FeatureStoreError: The features can't be read.
        ModelError: The model can't be loaded, or fails.
    """
    model = registry.resolve()
    features = features_of(model, find_service(store, model.feature_service))
    reader = open_reader(store, features.service, features.stored, timeout=_TIMEOUT)
    try:
        requested = {name: model.types[name] for name in features.requested if name not in reader.keys}
        schema = log_schema(store, features.service, keys=reader.keys, request=reader.request, requested=requested)
        with own_errors():
            keys = _keys(store, sides_of(store, features.service), count, schema)
        request = {name: np.full(count, None, dtype=object) for name in reader.request}
        now, start = microseconds_now(), time.perf_counter()
        found = reader.read(_as_arrays(keys), now, request=request or None)
        read_for = int((time.perf_counter() - start) * 1e6)
    finally:
        reader.close()
    rows = _Rows(schema, model, features, keys, found, (now, read_for))
    return Chunk(rows.table(registry), rows.layout(store.project, tuple(reader.request)))


def _keys(store: "FeatureStore", sides: Sides, count: int, schema: LogSchema) -> dict[str, pa.Array]:
    """Draw keys from the sources: those of one view together, those of different ones at random."""
    from feast_columnar.offline.engine import open_engine
    from feast_columnar.offline.rules import quoted

    options: Any = store.config.offline_store
    found: dict[str, pa.Array] = {}
    with open_engine(options.settings()) as engine:
        for view in sorted(sides.stored, key=lambda one: -len(one.request.keys)):
            join, _ = view_join(engine, view.request, sides.retrieval.source_rows(engine, view.request.source))
            lacking = [key for key in join.keys if key.entity not in found]
            if not lacking:
                continue
            columns = ", ".join(quoted(key.source) for key in lacking)
            present = " AND ".join(f"{quoted(key.source)} IS NOT NULL" for key in lacking)
            sql = (
                f"SELECT DISTINCT {columns} FROM {join.relation} WHERE {present} ORDER BY hash({columns}) LIMIT {count}"
            )
            table = engine.execute(sql).to_arrow_table()
            if not table.num_rows:
                message = f"The source of the feature view {view.name!r} has no keys, so that none can be compared."
                raise RequestError(message)
            places = pa.array(np.arange(count) % table.num_rows)
            for key, column in zip(lacking, table.columns, strict=True):
                kind = schema.arrow.field(key.entity).type
                found[key.entity] = column.combine_chunks().take(places).cast(kind)
    return found


def _as_arrays(keys: Mapping[str, pa.Array]) -> Any:  # noqa: ANN401 - what the reader takes
    arrays = {
        name: np.asarray(column.to_numpy(zero_copy_only=False))
        if pa.types.is_integer(column.type)
        else np.array(column.to_pylist(), dtype=object)
        for name, column in keys.items()
    }
    integers = {name: one.astype(np.int64) if one.dtype.kind in "iu" else one for name, one in arrays.items()}
    only = next(iter(integers.values()))
    return only if len(integers) == 1 and only.dtype == np.int64 else integers


class _Rows:
    """What was read, as rows of the log."""

    def __init__(  # noqa: PLR0913, PLR0917 - what rows are made of
        self,
        schema: LogSchema,
        model: RegisteredModel,
        features: ModelFeatures,
        keys: Mapping[str, pa.Array],
        found: "OnlineFeatures",
        read: tuple[int, int],
    ) -> None:
        self._schema, self._model, self._features, self._keys = schema, model, features, keys
        self._found, self._read = found, read
        self._count = len(found.matrix)

    def layout(self, project: str, request: tuple[str, ...]) -> Layout:
        candidate = self._model.candidate_key or next(iter(self._keys))
        said = {
            "layout": LAYOUT,
            **model_description(self._model, model_columns(self._model, self._schema), self._features.defaults),
            "run_id": "sample",
            "project": project,
            "candidate": candidate,
            "keys": [name for name in self._keys if name != candidate],
            "request": [*request, *(name for name in self._features.requested if name not in self._keys)],
            "omitted": [],
            "hashed": [],
        }
        return Layout(json.dumps(said, sort_keys=True))

    def table(self, registry: ModelRegistry) -> pa.Table:
        columns = dict(self._keys) | dict(self._stored()) | self._scores(registry) | self._constants()
        fields = [
            columns[field.name].cast(field.type) if field.name in columns else pa.nulls(self._count, field.type)
            for field in self._schema.arrow
        ]
        return pa.Table.from_arrays(fields, schema=self._schema.arrow)

    def _values(self) -> dict[str, pa.Array]:
        """Return the columns of the signature as they were read."""
        names_of = [name for name in self._features.stored if name not in self._found.others]
        found = {name: self._found.matrix[:, place] for place, name in enumerate(names_of)}
        columns = {name: pa.array(values, mask=np.isnan(values)) for name, values in found.items()}
        kinds = {"string": pa.string(), "binary": pa.binary()}
        for name, values in self._found.others.items():
            columns[name] = pa.array(values.tolist(), kinds.get(self._model.types[name]))
        for name in self._features.requested:
            kind = kinds.get(self._model.types[name], pa.float64())
            columns[name] = self._keys[name].cast(kind) if name in self._keys else pa.nulls(self._count, kind)
        return columns

    def _stored(self) -> "list[tuple[str, pa.Array]]":
        values, columns = self._values(), []
        for view in self._schema.views:
            taken = [name for name in view.features if name in values and name in self._features.stored]
            if taken:
                times = next(one for one in self._found.rows if taken[0] in one.columns)
                columns += self._view(view, taken, values, times)
        return columns

    def _view(
        self, view: LoggedView, taken: list[str], values: Mapping[str, pa.Array], rows: "RowTimes"
    ) -> "list[tuple[str, pa.Array]]":
        time, usable = (np.broadcast_to(one, self._count) for one in (rows.times, rows.usable))
        absent = time == 0
        column = pa.array(np.where(absent, NONE, time), pa.timestamp("us", "UTC"), mask=absent)
        status = np.where(absent, NOT_FOUND, np.where(usable, NULL, OUTSIDE)).astype(np.int32)
        found = [(names.event_time_column(view.name), column)]
        for name in taken:
            missing = np.asarray(values[name].is_null())
            found.append((view.features[name], values[name]))
            found.append(
                (names.timestamp_column(view.features[name]), column.cast(pa.timestamp("s", "UTC"), safe=False))
            )
            found.append((names.status_column(view.features[name]), pa.array(np.where(missing, status, PRESENT))))
        return found

    def _scores(self, registry: ModelRegistry) -> dict[str, pa.Array]:
        from driver_ranking.scoring import feature_matrix

        values, taken = self._values(), list(self._model.feature_names)
        batch = pa.record_batch([values[name] for name in taken], names=taken)
        matrix = feature_matrix(batch, self._model, lambda row: f"the key {row + 1} of the sample")
        rows = predicted_rows(matrix, registry.load(self._model).predict, self._features.defaults)
        request = np.arange(self._count) // CANDIDATES
        first = self._keys[self._model.candidate_key or next(iter(self._keys))].dictionary_encode()
        candidate = np.asarray(first.indices.to_numpy(), dtype=np.int64)
        rank = ranks_within(request, candidate, rows.score)
        return {
            **_of_ranking(rows, rank),
            names.DEFAULTED: pa.array(self._defaulted(matrix), pa.list_(pa.string())),
        }

    def _defaulted(self, matrix: "FeatureRows | NDArray[np.float64]") -> list[list[str]]:
        defaults, model = self._features.defaults, self._model
        found: list[list[str]] = [[] for _ in range(self._count)]
        if defaults is None:
            return found
        numbers = matrix.numbers if isinstance(matrix, FeatureRows) else matrix
        for place, name in enumerate(model.number_columns):
            if not np.isnan(defaults.numbers[place]):
                for row in np.flatnonzero(np.isnan(numbers[:, place])).tolist():
                    found[row].append(name)
        for name in defaults.texts:
            texts = matrix.texts[name] if isinstance(matrix, FeatureRows) else np.zeros(0, dtype=object)
            for row, text in enumerate(texts.tolist()):
                if text is None:
                    found[row].append(name)
        return found

    def _constants(self) -> dict[str, pa.Array]:
        now, read_for = self._read
        request = np.arange(self._count) // CANDIDATES
        same = {
            names.RUN_ID: "sample",
            names.MODEL_NAME: self._model.name,
            names.MODEL_VERSION: self._model.version,
            names.FEATURE_SERVICE: self._model.feature_service,
        }
        return {
            **{name: pa.repeat(value, self._count) for name, value in same.items()},
            names.LOG_TIMESTAMP: pa.array(np.full(self._count, now), names.MICROSECONDS),
            names.READ_MICROSECONDS: pa.array(np.full(self._count, read_for)),
            names.ANSWER: pa.array(request),
            names.REQUEST_ID: pa.array([f"sample-{number}" for number in request.tolist()]),
            names.POSITION: pa.array(np.arange(self._count) % CANDIDATES),
        }


def _of_ranking(rows: ScoredRows, rank: NDArray[np.int32]) -> dict[str, pa.Array]:
    return {
        names.SCORE: pa.array(rows.score, mask=~rows.scored),
        names.STATUS: pa.array([STATUSES[place] for place in rows.status_place.tolist()]),
        names.RANK: pa.array(rank, mask=rank == 0),
        names.GIVEN: pa.array(rank == 1),
    }
