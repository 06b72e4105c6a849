"""The features of a chunk's rows on all sides: as they were logged, as they were brought, and as they are known now."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from driver_ranking.parity.answers import Chunk
from driver_ranking.parity.causes import Cause
from driver_ranking.parity.joining import Joined
from driver_ranking.parity.rows import ViewRows, without
from driver_ranking.parity.scores import whole
from driver_ranking.parity.sides import ComputedView, Sides
from driver_ranking.parity.values import are_same, as_logged, is_null, numbers

_ROUNDED = 1e-9


@dataclass(frozen=True)
class FeatureColumn:
    """A feature that the model takes.

    Attributes:
        name: Its column in the model's signature.
        column: Its column in the log.
        view: The view that it is of.
        logged: As it was read, null where it was missing; None where the log does not have it.
        brought: What should have been read, in the log's type.
        known: What is known now, as of the read, likewise.
        raw: The same in the type of its source.
        cause: int8 ``[n]`` of `Cause`, why the row that it is of is not the one that is known now.
        defaulted: bool ``[n]``, where a default stood for it.
    """

    name: str
    column: str
    view: str
    logged: pa.Array
    brought: pa.Array
    known: pa.Array
    raw: pa.Array
    cause: NDArray[np.int8]
    defaulted: NDArray[np.bool_]


def feature_columns(chunk: Chunk, sides: Sides, views: Mapping[str, ViewRows]) -> list[FeatureColumn]:
    """Return the features that the model takes of stored and of on-demand views."""
    signature = {column: name for name, column in chunk.layout.model_columns.items()}
    found = []
    for view in views.values():
        for name, column in view.tables.view.logged.items():
            if column in signature:
                cause = np.where(view.faulty, np.int8(Cause.UNEXPLAINED), view.cause)
                sources = view.brought.used(name), view.known.used(name)
                found.append(_column(chunk, signature[column], column, view.tables.view.name, sources, cause))
    if sides.computed:
        found += _computed(chunk, sides, views, signature)
    return found


def _column(  # noqa: PLR0913, PLR0917 - what a feature is made of
    chunk: Chunk,
    name: str,
    column: str,
    view: str,
    sources: tuple[pa.Array, pa.Array],
    cause: NDArray[np.int8],
) -> FeatureColumn:
    defaulted = chunk.is_defaulted(name)
    logged = without(whole(chunk.rows[column]), defaulted)
    brought, known = (as_logged(values, logged.type) for values in sources)
    if column in chunk.layout.unseen:
        logged = brought
    return FeatureColumn(name, column, view, logged, brought, known, sources[1], cause, defaulted)


def _computed(
    chunk: Chunk, sides: Sides, views: Mapping[str, ViewRows], signature: Mapping[str, str]
) -> list[FeatureColumn]:
    read, now = (
        sides.on_demand.add(_inputs(chunk, {name: one.brought for name, one in views.items()}, views)),
        sides.on_demand.add(_inputs(chunk, {name: one.known for name, one in views.items()}, views)),
    )
    found = []
    for view in sides.computed:
        cause = _cause_of(view, views, len(chunk))
        for name, column in view.logged.items():
            if column in signature:
                sources = whole(read[name]), whole(now[name])
                found.append(_column(chunk, signature[column], column, view.name, sources, cause))
    return found


def _inputs(chunk: Chunk, joined: Mapping[str, Joined], views: Mapping[str, ViewRows]) -> pa.Table:
    """Return what on-demand views compute from: keys and request features as they were logged, and joined features."""
    said = chunk.layout.said
    given = [name for name in (*chunk.layout.keys, *said["request"]) if name in chunk.rows.column_names]
    table = chunk.rows.select(list(dict.fromkeys(given)))
    for view, rows in joined.items():
        for name in views[view].tables.features:
            table = table.append_column(name, rows.used(name))
    return table


def _cause_of(view: ComputedView, views: Mapping[str, ViewRows], count: int) -> NDArray[np.int8]:
    cause = np.full(count, Cause.NONE, dtype=np.int8)
    for name in view.sources:
        one = views[name]
        cause = np.maximum(cause, np.where(one.faulty, np.int8(Cause.UNEXPLAINED), one.cause))
    return cause


def is_off(feature: FeatureColumn) -> NDArray[np.bool_]:
    """Return where a feature of an on-demand view is not what it is computed to, but for rounding."""
    off = ~are_same(feature.logged, feature.brought)
    if not off.any():
        return off
    ours, theirs = numbers(feature.logged), numbers(feature.brought)
    if ours is None or theirs is None:
        return off
    return np.asarray(off & ~np.isclose(ours, theirs, rtol=_ROUNDED, atol=1e-12, equal_nan=True))


def is_rounded(feature: FeatureColumn) -> NDArray[np.bool_]:
    """Return where the value that is known now is the one that was read, but for the type that is declared of it."""
    same = are_same(feature.logged, feature.known)
    if feature.raw.type == feature.logged.type or not pa.types.is_floating(feature.raw.type):
        return np.zeros(len(same), dtype=np.bool_)
    ours, theirs = numbers(feature.logged), numbers(feature.raw)
    if ours is None or theirs is None:
        return np.zeros(len(same), dtype=np.bool_)
    return np.asarray(same & ~is_null(feature.logged) & (ours != theirs))


def differences(feature: FeatureColumn) -> tuple[NDArray[np.bool_], NDArray[np.int8]]:
    """Return where a feature differs from what is known now, and why, int8 of `Cause`."""
    unlike = ~are_same(feature.logged, feature.known)
    cause = np.where(unlike, feature.cause, np.int8(Cause.NONE))
    rounded = unlike & (feature.cause == Cause.NONE) & ~is_off(feature)
    cause[unlike & (feature.cause == Cause.NONE)] = Cause.UNEXPLAINED
    cause[rounded] = Cause.ROUNDING
    cause[unlike & feature.defaulted & ~is_null(feature.known) & (cause != Cause.UNEXPLAINED)] = Cause.DEFAULTED
    return unlike, cause


def columns_of(features: list[FeatureColumn], requested: Mapping[str, pa.Array], side: str) -> dict[str, pa.Array]:
    """Return the columns of the model's signature on a side."""
    return {**{one.name: getattr(one, side) for one in features}, **requested}
