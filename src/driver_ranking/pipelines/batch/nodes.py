"""The nodes of pipeline ``batch``. Rows stream through them; none holds the whole request."""

import logging
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
from tqdm import tqdm

from driver_ranking.errors import MissingFeatureError, RequestError
from driver_ranking.features import Defaults
from driver_ranking.model_defaults import has_default
from driver_ranking.pipelines.batch.recorded_defaults import notes_of, recorded_defaults
from driver_ranking.pipelines.fitting import fitted
from driver_ranking.pipelines.times import known_time_of
from driver_ranking.ranking import ScoredRows, Status, order_by_score, score_rows
from driver_ranking.scoring import SCORE_FIELDS, BatchScorer, MapsBatches, WrittenRows, feature_matrix, with_scores

if TYPE_CHECKING:
    from feast import FeatureStore
    from feast.repo_contents import RepoContents

    from driver_ranking.datasets.entity_rows import EntityRows
    from driver_ranking.feature_store.extraction import ExtractedFeatures
    from driver_ranking.model import ModelRegistry, Predictor, RegisteredModel

logger = logging.getLogger(__name__)

REQUEST_KEY = "driver_ranking.request"
MODEL_VERSION_KEY = "driver_ranking.model_version"
KNOWN_AT_KEY = "driver_ranking.as_known_at"

_ROWS_PER_BATCH = 131_072


def check_request(
    batch_request: "EntityRows",
    champion_model: "ModelRegistry",
    feature_definitions: "RepoContents",
    as_known_at: object = None,
) -> None:
    """Check that a request, the model and what the feature repo defines fit together, before anything is applied.

    The model is loaded and tried on its input example: none that fails goes on to extract features for a whole request.

    Raises:
        RequestError: A column of the request has the name of a feature or of an output column, or one is missing, or
            has a type or a value that does not fit what the feature repo and the model declare; or the time as known at
            which features are to be joined is none.
        FeatureStoreError: A view of the model's service has features that can't be joined, or not as known at a time.
        FeatureServiceNotFoundError: The repo does not define the model's service.
        MissingFeatureError: The service lacks a feature of the model's signature.
        ModelSignatureError: A column of the signature can't hold exactly what the service declares.
        ModelError: The model can't be loaded, gives labels, or fails on its input example.
    """
    from driver_ranking.feature_store.extraction import refuse_columns
    from driver_ranking.feature_store.joinable import DefinedViews, refuse_unjoinable, refuse_untold
    from driver_ranking.feature_store.repo import find_defined_service
    from driver_ranking.model_features import features_of
    from driver_ranking.model_trial import try_on_example

    known_at = known_time_of(as_known_at, "as_known_at")
    model = champion_model.resolve()
    refuse_columns(batch_request.columns, tuple(column.name for column in SCORE_FIELDS), "an output column")
    service = find_defined_service(feature_definitions, model.feature_service)
    defined, requested = DefinedViews.of_repo(feature_definitions), model.request_features
    refuse_unjoinable(service, batch_request.columns, defined)
    if known_at is not None:
        refuse_untold(service, defined)
    if all(projection.features for projection in service.feature_view_projections):  # else Feast infers them
        features = features_of(model, service)
        refuse_columns(batch_request.columns, features.service.columns, "a feature")
        requested = features.requested
    fitted(batch_request, service, defined, model, requested)
    try_on_example(champion_model.load(model))


def extract_features(
    batch_request: "EntityRows",
    feature_store: "FeatureStore",
    champion_model: "ModelRegistry",
    request_name: str,
    as_known_at: object = None,
) -> "ExtractedFeatures":
    """Join the request to the features that the model takes, as they were valid at each row's event time.

    The model's version is resolved here, once a run, and goes along with the rows.

    Args:
        batch_request: The checked request.
        feature_store: The applied feature store.
        champion_model: The registry of the model.
        request_name: What the run calls the request: its path or URL.
        as_known_at: A time, ISO 8601: what was written to the sources later is not there. None for now.

    Returns:
        A query that writes the rows of the request, in its order, with the features of the model's service.

    Raises:
        RequestError: A column of the request has the name of a feature or of an output column, or one is missing, or
            has a type or a value that does not fit what the feature repo and the model declare.
        MissingFeatureError: The model's service lacks a feature of its signature.
        ModelSignatureError: A column of the signature can't hold exactly what the service declares.
    """
    from driver_ranking.feature_store.extraction import point_in_time_features, refuse_columns
    from driver_ranking.feature_store.joinable import DefinedViews, refuse_unjoinable
    from driver_ranking.feature_store.repo import find_service
    from driver_ranking.model_features import features_of

    known_at = known_time_of(as_known_at, "as_known_at")
    model = champion_model.resolve()
    refuse_columns(batch_request.columns, tuple(column.name for column in SCORE_FIELDS), "an output column")
    service, defined = find_service(feature_store, model.feature_service), DefinedViews.of_store(feature_store)
    features = features_of(model, service)
    refuse_unjoinable(service, batch_request.columns, defined)
    entity_rows = fitted(batch_request, service, defined, model, features.requested)
    known = f", as known at {known_at.isoformat()}" if known_at else ""
    logger.info("Extracting %s for %d rows%s.", ", ".join(model.feature_names), entity_rows.row_count, known)
    notes = {MODEL_VERSION_KEY: model.version, REQUEST_KEY: request_name} | notes_of(features.defaults, model)
    if known_at:
        notes[KNOWN_AT_KEY] = _shown_in_utc(known_at)
    rows, columns = entity_rows.rows, entity_rows.columns
    extracted = point_in_time_features(feature_store, features.service, rows, columns, notes, entity_rows.row_count)
    return extracted.as_known_at(known_at) if known_at else extracted


def predict(
    batch_input: ds.Dataset | MapsBatches,
    champion_model: "ModelRegistry",
    best_rows_logged: int,
    request_name: str,
    as_known_at: object = None,
) -> object:
    """Score extracted features, record batch by record batch.

    Args:
        batch_input: The rows of the request with their features: a data set that is read here, or rows that take the
            scoring to where they are.
        champion_model: The registry of the model; the version is the one that the features were extracted for.
        best_rows_logged: How many of the best rows the log names at the end.
        request_name: What the run calls the request.
        as_known_at: As known at which time the features are to have been joined, ISO 8601; None for no such time.

    Returns:
        The same rows with ``score`` (null where excluded), ``status`` and ``model_version``: a reader of them in their
        order, or what rows that are elsewhere give.

    Raises:
        RequestError: The rows were not extracted by this pipeline, or for another request, or as known at another time,
            or have other defaults of missing features than this version may have.
        NonFiniteScoreError: While reading: the model gave a score that is not a finite number.
        ModelError: The model can't be loaded; or, while reading, it fails or a value can't be given to it exactly.
        MissingFeatureError: The rows lack a feature that the model takes.
    """
    from driver_ranking.feature_store.extraction import recorded

    _require_request(recorded(batch_input.schema, REQUEST_KEY), request_name)
    known = _require_known_at(batch_input.schema, known_time_of(as_known_at, "as_known_at"))
    extracted_for = recorded(batch_input.schema, MODEL_VERSION_KEY)
    model = champion_model.resolve(champion_model.version or extracted_for)
    defaults = recorded_defaults(batch_input.schema, model, extracted_for)
    _require_columns(batch_input.schema, model, defaults)
    if isinstance(batch_input, MapsBatches):
        scorer = BatchScorer(model, defaults)
        return batch_input.map_batches(scorer, SCORE_FIELDS, _reporting(model, best_rows_logged))
    predictor = champion_model.load(model)
    schema = pa.schema([*batch_input.schema, *SCORE_FIELDS], metadata=known)
    scored = _score_batches(batch_input, predictor, defaults, best_rows_logged)
    return pa.RecordBatchReader.from_batches(schema, scored)


def _require_request(extracted_for: str, request_name: str) -> None:
    """Refuse rows of another request: another run has extracted them since, or this one was not told for which.

    A request is told by its name, not by what it holds: scored are the rows that were extracted last for this name,
    each with its own columns, whatever has been written there since. Who wants to keep two states of a request apart
    gives them two names, or two run dates.
    """
    if _absolute(extracted_for) != _absolute(request_name):
        message = (
            f"The extracted rows are those of the request {extracted_for!r}, and this run is for {request_name!r}. Run "
            "the pipeline from extract_features, or name the request that was extracted by --params batch_request=..."
        )
        raise RequestError(message)


def _require_known_at(schema: pa.Schema, known_at: datetime | None) -> dict[bytes, bytes] | None:
    """Refuse rows with features as known at another time; return what is recorded of the time, if there is one."""
    recorded = (schema.metadata or {}).get(KNOWN_AT_KEY.encode())
    wanted = None if known_at is None else _shown_in_utc(known_at)
    if wanted != (recorded and recorded.decode()):
        message = (
            f"The rows were extracted {_as_known(recorded and recorded.decode())}, and this run is to score what is "
            f"{_as_known(wanted)}. Run the pipeline from extract_features, or give --params as_known_at=... as it was "
            "given then."
        )
        raise RequestError(message)
    return None if recorded is None else {KNOWN_AT_KEY.encode(): recorded}


def _as_known(time: str | None) -> str:
    return f"as known at {time}" if time else "as known when they were extracted"


def _shown_in_utc(time: datetime) -> str:
    return time.astimezone(UTC).isoformat()


def _absolute(name: str) -> str:
    return name if "://" in name else str(Path(name).absolute())


def _reporting(model: "RegisteredModel", best_rows_logged: int) -> Callable[[WrittenRows], None]:
    """Return what logs the summary of rows that were scored elsewhere."""

    def report(written: WrittenRows) -> None:
        statuses = Counter(written.counts("status"))
        best = written.best("score", best_rows_logged)
        _Summary(best_rows_logged, statuses.total(), statuses, best).log(model)

    return report


def _require_columns(schema: pa.Schema, model: "RegisteredModel", defaults: Defaults | None) -> None:
    """Refuse rows that lack a column of the model, or have one as the request had it, not read for this model.

    What comes with a request may be missing altogether where a default stands for it.
    """
    optional = [] if defaults is None else [one for one in model.request_features if has_default(model, defaults, one)]
    missing = [_named(name, model) for name in model.feature_names if name not in schema.names and name not in optional]
    fault = f"lack {', '.join(missing)}, which" if missing else ""
    if not missing:
        requested = [name for name in model.number_columns if name in model.request_features]
        kinds = {name: schema.field(name).type for name in requested if name in schema.names}
        unread = [_named(name, model) for name, kind in kinds.items() if not _is_number(kind)]
        fault = f"have {', '.join(unread)}, not read as a number, which" if unread else ""
    if fault:
        message = (
            f"The extracted rows {fault} the {model.label} takes. Run the pipeline from extract_features with this "
            f"version."
        )
        raise MissingFeatureError(message)


def _named(feature: str, model: "RegisteredModel") -> str:
    return f"the request feature {feature!r}" if feature in model.request_features else repr(feature)


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind))


def _score_batches(
    batch_input: ds.Dataset, predictor: "Predictor", defaults: Defaults | None, best_rows_logged: int
) -> Iterator[pa.RecordBatch]:
    """Yield scored record batches, with a progress bar on a terminal, and log the summary after the last one."""
    summary = _Summary(best_rows_logged)
    # one batch at a time: by default a scan reads ahead, and keeps what it has read of the file, in the end all of it
    as_it_goes = ds.ParquetFragmentScanOptions(pre_buffer=False, use_buffered_stream=True)
    reading = {"batch_readahead": 0, "fragment_readahead": 0, "use_threads": False}
    scanner = batch_input.scanner(batch_size=_ROWS_PER_BATCH, fragment_scan_options=as_it_goes, **reading)
    with tqdm(total=batch_input.count_rows(), desc="predict", unit="row", unit_scale=True, disable=None) as progress:
        for batch in scanner.to_batches():
            first = summary.row_count
            features = feature_matrix(batch, predictor.model, _numbered(first))
            rows = score_rows(features, predictor.predict, defaults, first_row=first)
            scored = with_scores(batch, rows, predictor.model.version)
            summary.add(scored, rows)
            progress.update(batch.num_rows)
            yield scored
    summary.log(predictor.model)


def _numbered(first: int) -> Callable[[int], str]:
    """Return what names the rows of a batch by their numbers in the whole input."""
    return lambda row: f"row {first + row + 1}"


@dataclass
class _Summary:
    """What the log says at the end: how many rows have which status, and the best rows."""

    best_rows: int
    row_count: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    best: list[dict[str, Any]] = field(default_factory=list)

    def add(self, batch: pa.RecordBatch, rows: ScoredRows) -> None:
        self.row_count += batch.num_rows
        scored = int(rows.scored.sum())
        defaulted = 0 if rows.defaulted is None else int(rows.defaulted.sum())
        self.statuses[Status.OK.value] += scored - defaulted
        self.statuses[Status.DEFAULTED.value] += defaulted
        self.statuses[Status.MISSING_FEATURES.value] += batch.num_rows - scored
        best = np.flatnonzero(rows.scored)
        if best.size > self.best_rows > 0:
            # only rows at least as good as the k-th best can be among the best k: sort no more than those
            least = np.partition(rows.score[best], -self.best_rows)[-self.best_rows]
            best = best[rows.score[best] >= least]
        best = best[order_by_score(rows.score[best])][: self.best_rows]
        merged = self.best + batch.take(pa.array(best)).to_pylist()
        self.best = sorted(merged, key=lambda row: -row["score"])[: self.best_rows]

    def log(self, model: "RegisteredModel") -> None:
        told = [status.value for status in Status if self.statuses[status.value] or status is not Status.DEFAULTED]
        counts = ", ".join(f"{self.statuses[status]} {status}" for status in told)
        logger.info("Scored %d rows with the %s: %s.", self.row_count, model.label, counts)
        for place, row in enumerate(self.best, start=1):
            shown = {name: value for name, value in row.items() if name not in {"status", "model_version"}}
            values = ", ".join(f"{name}={_shown(value)}" for name, value in shown.items())
            logger.info("Best row %d: %s", place, values)


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4f}"
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
