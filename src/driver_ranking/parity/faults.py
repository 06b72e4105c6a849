"""What nothing explains, by the names of what is wrong: of rows of the store, of scores, of answers, of the log."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from driver_ranking.parity.answers import Chunk, integers
from driver_ranking.parity.brought import NONE
from driver_ranking.parity.rows import INVALID, NOT_FOUND, OUTSIDE, PRESENT, ViewRows, agree
from driver_ranking.parity.scores import Scorer, known_status, logged_scores
from driver_ranking.parity.values import are_same, as_logged, is_null
from driver_ranking.prediction_log.columns import ANSWER, GIVEN, RANK, RUN_ID
from driver_ranking.ranking import ScoredRows, ranks_within

MEANINGS: Final[Mapping[str, str]] = {
    "value": "the store had another value than was brought, in a row of the right event time",
    "null_value": "the store had no value where one was brought, in a row of the right event time",
    "swapped_features": "the values are those of the row, but under each other's names",
    "other_key": "the row is that of another key",
    "outdated_row": "the store had an older row than the one that was brought last",
    "unrecorded_row": "the store had a newer row than any that was brought",
    "premature_row": "the store had a row that had not been written yet, by its created_timestamp_column",
    "missing_online": "the store had no row where one was brought",
    "missing_offline": "the store had a row of which the source has none",
    "unreadable": "what the store had can't be read",
    "ttl_too_long": "a row was used that is too old",
    "ttl_too_short": "a row was not used that is young enough",
    "default": "a default stood for a value that was there, or was another one than the log says",
    "transformation": "an on-demand view gave another value than it gives of the same inputs",
    "status": "the status is not the one that the features and the rules give",
    "version": "the score is that of another version than the log says",
    "score": "the score is not the one that the model gives of the features",
    "order": "the rank is not the one that the scores and the rules give",
    "given": "another row was given than the best",
    "repeated_rows": "rows of an answer are in the log again",
    "missing_rows": "rows of an answer are not in the log",
}
_LOOKED_AT: Final = 20_000  # rows that are named by a look at other rows


@dataclass
class Faults:
    """The faults of a chunk.

    Attributes:
        rows: By kind, bool ``[n]``.
    """

    rows: dict[str, NDArray[np.bool_]] = field(default_factory=dict)

    def add(self, kind: str, rows: NDArray[np.bool_]) -> None:
        """Add rows to a kind."""
        if rows.any():
            self.rows[kind] = self.rows[kind] | rows if kind in self.rows else rows.copy()

    def any(self, count: int) -> NDArray[np.bool_]:
        """Return which rows have one."""
        found = np.zeros(count, dtype=np.bool_)
        for rows in self.rows.values():
            found |= rows
        return found


def name_rows(faults: Faults, chunk: Chunk, view: ViewRows) -> None:
    """Name what is wrong with the rows of a view, from the plainest to the least."""
    logged, brought = view.logged, view.brought
    if logged is None or not view.faulty.any():
        return
    left = view.faulty.copy()

    def take(kind: str, rows: NDArray[np.bool_]) -> None:
        found = left & rows
        faults.add(kind, found)
        left[found] = False

    same_time = (logged.time == brought.time) | (logged.time == brought.time - brought.time % 1_000_000)
    take("unreadable", logged.status == INVALID)
    take("premature_row", view.premature)
    take("missing_online", (logged.status == NOT_FOUND) & brought.is_there)
    take("other_key", _of_another_key(chunk, view, left))
    take("missing_offline", ~brought.is_there)
    take("outdated_row", ~same_time & (logged.time < brought.time))
    take("unrecorded_row", ~same_time)
    take("ttl_too_short", (logged.status == OUTSIDE) & brought.usable)
    take("ttl_too_long", (logged.status == PRESENT) & ~brought.usable)
    take("swapped_features", _are_swapped(view, left))
    take("default", _is_wrongly_defaulted(chunk, view))
    take("null_value", _lacks_a_value(view))
    take("value", left)


def _lacks_a_value(view: ViewRows) -> NDArray[np.bool_]:
    found = np.zeros(len(view.faulty), dtype=np.bool_)
    if view.logged is not None:
        for name, values in view.logged.values.items():
            found |= is_null(values) & ~is_null(as_logged(view.brought.used(name), values.type))
    return found


def _is_wrongly_defaulted(chunk: Chunk, view: ViewRows) -> NDArray[np.bool_]:
    signature = {column: name for name, column in chunk.layout.model_columns.items()}
    found = np.zeros(len(chunk), dtype=np.bool_)
    for name in view.logged.values if view.logged else ():
        there = ~is_null(view.brought.used(name))
        found |= chunk.is_defaulted(signature[view.tables.view.logged[name]]) & there
    return found


def _are_swapped(view: ViewRows, left: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return which rows have the values of the row that was brought, in other places."""
    found = np.zeros(len(left), dtype=np.bool_)
    if view.logged is None or len(view.logged.values) < 2:  # noqa: PLR2004 - one can't be swapped
        return found
    for row in np.flatnonzero(left)[:_LOOKED_AT]:
        ours = [_number(values[row].as_py()) for values in view.logged.values.values()]
        theirs = [_number(view.brought.features[name][row].as_py()) for name in view.logged.values]
        found[row] = ours != theirs and sorted(ours) == sorted(theirs)
    return found


def _number(value: object) -> str:
    """Return a value so that it is the same in any type of numbers."""
    return repr(float(np.float32(value))) if isinstance(value, int | float) else repr(value)


def _of_another_key(chunk: Chunk, view: ViewRows, left: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return which rows have, time and values, the row of another key of the chunk, of those that are compared."""
    found = np.zeros(len(left), dtype=np.bool_)
    rows = np.flatnonzero(left)[:_LOOKED_AT]
    if view.logged is None or not view.tables.join.keys or not rows.size:
        return found
    seen: dict[tuple[object, ...], set[object]] = {}
    names = list(view.logged.values)
    keys = list(zip(*(chunk.rows[key.entity].to_pylist() for key in view.tables.join.keys), strict=True))
    columns = [as_logged(view.brought.features[name], view.logged.values[name].type).to_pylist() for name in names]
    times = view.brought.time
    wanted = {int(view.logged.time[row]) for row in rows} - {NONE}
    near = np.flatnonzero(np.isin(times - times % 1_000_000, [one - one % 1_000_000 for one in wanted]))
    for row in near.tolist():
        values = tuple(column[row] for column in columns)
        seen.setdefault((int(times[row] // 1_000_000), *values), set()).add(keys[row])
    ours = [view.logged.values[name].to_pylist() for name in names]
    for row in rows.tolist():
        values = tuple(column[row] for column in ours)
        if any(value is not None for value in values):
            owners = seen.get((int(view.logged.time[row] // 1_000_000), *values), set())
            found[row] = bool(owners) and keys[row] not in owners
    return found


def name_answers(faults: Faults, chunk: Chunk, scorer: Scorer, ours: ScoredRows, others: "list[Scorer]") -> None:
    """Name what is wrong with statuses, scores and ranks.

    Args:
        faults: Where to.
        chunk: The chunk.
        scorer: The version that the log names.
        ours: The scores of the features that were logged.
        others: Other versions that are known.
    """
    theirs = logged_scores(chunk)
    defaulted = np.zeros(len(chunk), dtype=np.bool_) if ours.defaulted is None else ours.defaulted
    faults.add("status", (ours.scored != theirs.scored) | (defaulted != theirs.defaulted) | ~known_status(chunk))
    off = ours.scored & theirs.scored & ~scorer.are_same(ours.score, theirs.score)
    off |= ours.scored & theirs.scored & np.isnan(theirs.score)
    faults.add("score", off & ~_of_other_versions(faults, chunk, off, theirs.score, others))
    rank = integers(chunk.rows, RANK)
    expected = ranks_within(chunk.request, chunk.candidate, theirs.score)
    faults.add("order", np.where(rank < 0, 0, rank) != expected)
    faults.add("given", _wrongly_given(chunk, expected))


def _of_other_versions(
    faults: Faults, chunk: Chunk, off: NDArray[np.bool_], score: NDArray[np.float64], others: "list[Scorer]"
) -> NDArray[np.bool_]:
    """Return which scores are those that another version gives."""
    found = np.zeros(len(chunk), dtype=np.bool_)
    rows = np.flatnonzero(off)[:_LOOKED_AT]
    if not rows.size:
        return found
    columns = logged_columns(chunk)
    for other in others:
        if set(other.predictor.model.feature_names) <= columns.keys():
            taken = {name: values.take(pa.array(rows)) for name, values in columns.items()}
            found[rows] |= other.are_same(other.score(taken).score, score[rows])
    faults.add("version", found)
    return found


def logged_columns(chunk: Chunk) -> dict[str, pa.Array]:
    """Return the columns of the signature as they were read."""
    from driver_ranking.parity.rows import without
    from driver_ranking.parity.scores import whole

    return {
        name: without(whole(chunk.rows[column]), chunk.is_defaulted(name))
        for name, column in chunk.layout.model_columns.items()
    }


def _wrongly_given(chunk: Chunk, rank: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Return which rows were given, and are not among the best, or the reverse."""
    given = np.asarray(pc.fill_null(chunk.rows[GIVEN], False).to_numpy())  # noqa: FBT003 - the value for null
    many = np.bincount(chunk.request, weights=given).astype(np.int64)
    expected = (rank > 0) & (rank <= many[chunk.request])
    return np.asarray(given != expected)


def name_log(faults: Faults, chunk: Chunk, seen: "SeenAnswers") -> int:
    """Name rows of answers that are there again; return how many rows are known to be missing."""
    repeated = seen.add(chunk)
    order = np.lexsort((chunk.position, chunk.request))
    again = np.zeros(len(chunk), dtype=np.bool_)
    request, position = chunk.request[order], chunk.position[order]
    again[order[1:]] = (request[1:] == request[:-1]) & (position[1:] == position[:-1])
    faults.add("repeated_rows", repeated | again)
    starts = np.concatenate([[True], request[1:] != request[:-1]])
    steps = np.where(starts, position, np.concatenate([[0], np.diff(position) - 1]))
    missing = np.maximum(steps, 0)
    faults.add("missing_rows", _marked(order, missing > 0))
    return int(missing.sum())


def _marked(order: NDArray[np.intp], rows: NDArray[np.bool_]) -> NDArray[np.bool_]:
    found = np.zeros(len(order), dtype=np.bool_)
    found[order[rows]] = True
    return found


@dataclass
class SeenAnswers:
    """Which answers of which runs have been seen, a bit each."""

    runs: dict[str, NDArray[np.uint8]] = field(default_factory=dict)

    def add(self, chunk: Chunk) -> NDArray[np.bool_]:
        """Take the answers of a chunk, and return which rows are of one that was seen before."""
        first = np.flatnonzero(np.concatenate([[True], chunk.request[1:] != chunk.request[:-1]]))
        runs = np.array(chunk.rows[RUN_ID].take(pa.array(first)).to_pylist(), dtype=object)
        answers = integers(chunk.rows, ANSWER)[first]
        again = np.zeros(len(first), dtype=np.bool_)
        for run in dict.fromkeys(runs.tolist()):
            mine = np.flatnonzero(runs == run)
            again[mine] = self._add_to(str(run), answers[mine])
        return np.asarray(again[chunk.request])

    def _add_to(self, run: str, answers: NDArray[np.int64]) -> NDArray[np.bool_]:
        bits = self.runs.get(run, np.zeros(1024, dtype=np.uint8))
        needed = int(answers.max()) // 8 + 1
        if needed > len(bits):
            bits = np.concatenate([bits, np.zeros(max(needed, 2 * len(bits)) - len(bits), dtype=np.uint8)])
        byte, bit = answers // 8, (1 << (answers % 8)).astype(np.uint8)
        before = (bits[byte] & bit) != 0
        _, first = np.unique(answers, return_index=True)
        within = np.ones(len(answers), dtype=np.bool_)
        within[first] = False
        np.bitwise_or.at(bits, byte, bit)
        self.runs[run] = bits
        return np.asarray(before | within)


__all__ = ["MEANINGS", "Faults", "SeenAnswers", "agree", "are_same", "name_answers", "name_log", "name_rows"]
