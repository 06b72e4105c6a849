"""Gives a logged answer again: from the features in the log, the registry and the rules, to the last bit."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from driver_ranking.errors import PredictionLogError
from driver_ranking.feature_store.repo import find_service
from driver_ranking.features import FeatureRows, Features, has_all_features
from driver_ranking.model_features import features_of
from driver_ranking.parity.answers import Chunk, chunks, integers
from driver_ranking.parity.faults import logged_columns
from driver_ranking.parity.scores import Scorer, logged_scores
from driver_ranking.prediction_log.columns import BATCH, BATCH_ROW, BATCH_SIZE, GIVEN, RANK, REQUEST_ID, RUN_ID
from driver_ranking.ranking import ScoredRows, predicted_rows, ranks_within
from driver_ranking.scoring import feature_matrix

if TYPE_CHECKING:
    from feast import FeatureStore

    from driver_ranking.model import ModelRegistry


@dataclass(frozen=True)
class LoggedAnswer:
    """An answer as it was logged.

    Attributes:
        chunk: Its rows.
        batch: The rows that were scored together with it, its own among them, as far as they are logged.
        others: How many other answers have the same id.
    """

    chunk: Chunk
    batch: Chunk
    others: int


@dataclass(frozen=True)
class Replayed:
    """An answer that was given again.

    Attributes:
        score: float64 ``[n]``, NaN where a candidate is excluded.
        rank: int32 ``[n]``, 0 where it has none.
        version: The version of the model.
    """

    score: NDArray[np.float64]
    rank: NDArray[np.int32]
    version: str


def found_answer(rows: Iterable[pa.RecordBatch], request_id: str) -> tuple[Chunk, int]:
    """Return the rows of the last answer to a request, and how many others have its id.

    Args:
        rows: The rows of the log.
        request_id: The request's id.

    Raises:
        PredictionLogError: There is no such answer.
    """
    found: list[Chunk] = []
    for chunk in chunks(batch for batch in (_with_id(one, request_id) for one in rows) if batch.num_rows):
        starts = np.flatnonzero(np.concatenate([[True], np.diff(chunk.request) > 0]))
        ends = np.append(starts[1:], len(chunk))
        found += [Chunk(chunk.rows.slice(a, b - a), chunk.layout) for a, b in zip(starts, ends, strict=True)]
    if not found:
        message = (
            f"The prediction log has no answer to a request {request_id!r}. Look at the id, at `--since`, at how long "
            "the log is kept (prediction_log.retention_days), and which share of the answers is logged."
        )
        raise PredictionLogError(message)
    return max(found, key=lambda one: int(one.now[0])), len(found) - 1


def _with_id(rows: pa.RecordBatch, request_id: str) -> pa.RecordBatch:
    return rows.filter(pc.equal(rows[REQUEST_ID], request_id))


def with_its_batch(answer: Chunk, others: int, rows: Iterable[pa.RecordBatch]) -> LoggedAnswer:
    """Return an answer with the rows that were scored together with it.

    Args:
        answer: Its rows.
        others: How many other answers have the same id.
        rows: The rows of the log that were read at the same moment.
    """
    batch, run = answer.rows[BATCH][0].as_py(), answer.rows[RUN_ID][0].as_py()
    kept = [
        one.filter(pc.and_(pc.equal(one[BATCH], batch), pc.equal(one[RUN_ID], run)))
        for one in rows
        if one.schema.equals(answer.rows.schema)
    ]
    kept = [one for one in kept if one.num_rows]
    table = pa.Table.from_batches(kept) if kept else answer.rows
    return LoggedAnswer(answer, Chunk(table, answer.layout), others)


def replay(answer: LoggedAnswer, scorer: Scorer) -> Replayed:
    """Give an answer again with the version that gave it, in a batch of the same size, each row in its place.

    Raises:
        ModelError: The model fails, or a value can't be given to it exactly.
    """
    features, is_complete = _features(answer.batch, scorer)
    place, size = integers(answer.batch.rows, BATCH_ROW), int(integers(answer.batch.rows, BATCH_SIZE)[0])
    score = np.full(len(answer.chunk), np.nan)
    mine = integers(answer.chunk.rows, BATCH_ROW)
    known = np.flatnonzero(is_complete & (place >= 0))
    if known.size and size > 0:
        rows = np.full(size, known[0], dtype=np.intp)  # what is not logged has no effect but by its number
        rows[place[known]] = known
        predicted = scorer.predictor.predict(_contiguous(features[rows]))
        _, complete = _features(answer.chunk, scorer)
        scored = complete & (mine >= 0)
        score[scored] = predicted[mine[scored]]
    return Replayed(score, ranks_within(answer.chunk.request, answer.chunk.candidate, score), scorer.layout.version)


def ask_version(answer: LoggedAnswer, registry: "ModelRegistry", store: "FeatureStore", version: str) -> Replayed:
    """Return what another version says of the features that were logged, with its own defaults.

    Raises:
        PredictionLogError: It takes a feature that the answer's rows don't have.
        ModelError: It can't be loaded, or fails.
    """
    model = registry.resolve(version)
    columns = logged_columns(answer.chunk)
    lacking = [name for name in model.feature_names if name not in columns]
    if lacking:
        message = (
            f"The {model.label} takes {', '.join(map(repr, lacking))}, which the answer's rows in the log don't have: "
            f"they were read for version {answer.chunk.layout.version}. Ask it with --as-of-now."
        )
        raise PredictionLogError(message)
    batch = pa.record_batch([columns[name] for name in model.feature_names], names=list(model.feature_names))
    features = feature_matrix(batch, model, lambda row: f"candidate {row + 1}")
    defaults = features_of(model, find_service(store, model.feature_service)).defaults
    rows = predicted_rows(features, registry.load(model).predict, defaults)
    return _ranked(answer, rows, model.version)


def _ranked(answer: LoggedAnswer, rows: ScoredRows, version: str) -> Replayed:
    score = np.where(rows.scored, rows.score, np.nan)
    return Replayed(score, ranks_within(answer.chunk.request, answer.chunk.candidate, score), version)


def is_same(answer: LoggedAnswer, replayed: Replayed) -> bool:
    """Return whether an answer was given again to the last bit: scores, who is excluded, ranks, and who was given."""
    logged = logged_scores(answer.chunk)
    score = np.where(logged.scored, logged.score, np.nan)
    rank = integers(answer.chunk.rows, RANK)
    given = np.asarray(answer.chunk.rows[GIVEN].to_numpy())
    many = int(given.sum())
    return bool(
        np.array_equal(score, replayed.score, equal_nan=True)
        and np.array_equal(np.where(rank < 0, 0, rank), replayed.rank)
        and np.array_equal(given, (replayed.rank > 0) & (replayed.rank <= many))
    )


def _features(chunk: Chunk, scorer: Scorer) -> tuple[Features, NDArray[np.bool_]]:
    """Return what the model was given of rows, and which rows have all of it."""
    model = scorer.predictor.model
    columns = logged_columns(chunk)
    batch = pa.record_batch([columns[name] for name in model.feature_names], names=list(model.feature_names))
    features = feature_matrix(batch, model, lambda row: f"row {row + 1} of the log")
    if scorer.defaults is not None:
        features, _ = scorer.defaults.fill(features)
    return features, has_all_features(features)


def _contiguous(features: Features) -> Features:
    if isinstance(features, FeatureRows):
        return FeatureRows(np.ascontiguousarray(features.numbers), features.texts)
    return np.ascontiguousarray(features)


def described(answer: LoggedAnswer, replayed: Replayed) -> list[dict[str, Any]]:
    """Return the candidates of an answer, in the request's order, as they were logged and as they are now."""
    logged = logged_scores(answer.chunk)
    rank, given = integers(answer.chunk.rows, RANK), answer.chunk.rows[GIVEN].to_pylist()
    keys = answer.chunk.rows[answer.chunk.layout.keys[0]].to_pylist()
    return [
        {
            "candidate": keys[row],
            "rank": None if rank[row] < 1 else int(rank[row]),
            "score": float(logged.score[row]) if logged.scored[row] else None,
            "given": given[row],
            "replayed_rank": int(replayed.rank[row]) or None,
            "replayed_score": None if np.isnan(replayed.score[row]) else float(replayed.score[row]),
        }
        for row in range(len(answer.chunk))
    ]
