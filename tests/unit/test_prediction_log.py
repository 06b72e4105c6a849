"""The prediction log, part by part: what waits, what is written, what is found again, and what is kept out."""

from __future__ import annotations

import errno
import math
import os
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from driver_ranking.errors import SettingError
from driver_ranking.model_version import RegisteredModel
from driver_ranking.prediction_log import columns as names
from driver_ranking.prediction_log.filing import file_spooled
from driver_ranking.prediction_log.frames import framed, read_frames
from driver_ranking.prediction_log.places import HOUR, LogPlaces, folder_name, partition
from driver_ranking.prediction_log.reader import batches, files
from driver_ranking.prediction_log.retention import remove_older
from driver_ranking.prediction_log.schema import LoggedView, LogSchema
from driver_ranking.prediction_log.spool import SpoolFile, left_behind
from driver_ranking.ranking import ScoredRows, rank
from driver_ranking.serving.prediction_log.answer_queue import AnswerQueue
from driver_ranking.serving.prediction_log.compaction import Compaction
from driver_ranking.serving.prediction_log.entries import Answer, LoggedModel, ScoredBatch
from driver_ranking.serving.prediction_log.filing import LogFiling
from driver_ranking.serving.prediction_log.log import PredictionLog, is_sampled
from driver_ranking.serving.prediction_log.metrics import log_metrics
from driver_ranking.serving.prediction_log.privacy import Privacy
from driver_ranking.serving.prediction_log.trace import trace_id_of
from driver_ranking.serving.prediction_log.writer import Filed, LogWriter, Spools
from driver_ranking.serving.query import RankingQuery
from driver_ranking.serving.settings import PredictionLogSettings
from feast_columnar.online.features import RowTimes

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

SERVICE = "drivers v1"
NOW = 495_000 * HOUR + 5
NAN = math.nan
RUN = "0123456789abcdef"


def logged_model(defaults: dict[str, float] | None = None) -> LoggedModel:
    """Return a model of two features of one view, of integers and of singles."""
    features = {"trips": pa.int32(), "rate": pa.float32()}
    model = RegisteredModel("m", "3", "run", "s", SERVICE, tuple(features), "nowhere")
    columns = {name: f"stats__{name}" for name in features}
    fields = [pa.field("driver_id", pa.int64())]
    for name, kind in features.items():
        fields += [
            pa.field(columns[name], kind),
            pa.field(f"{columns[name]}__timestamp", pa.timestamp("s", "UTC")),
            pa.field(f"{columns[name]}__status", pa.int32()),
        ]
    fields += [pa.field(names.LOG_TIMESTAMP, names.MICROSECONDS), pa.field(names.LOG_DATE, pa.date32())]
    fields += [pa.field(names.REQUEST_ID, pa.string()), *names.OWN_FIELDS]
    fields.append(pa.field(names.event_time_column("stats"), names.MICROSECONDS))
    schema = LogSchema(pa.schema(fields), (), (LoggedView("stats", columns),), ("driver_id",))
    description = {
        "run_id": RUN,
        "model": {
            "name": "m",
            "version": "3",
            "feature_service": SERVICE,
            "columns": [{"name": name, "type": "double", "column": column} for name, column in columns.items()],
        },
        "defaults": defaults or {},
        "omitted": [],
    }
    return LoggedModel(
        model, schema.with_metadata(description), ("driver_id",), "driver_id", columns, {"stats": "trips"}
    )


def scored_batch(
    logged: LoggedModel, drivers: list[int], rows: Any, times: list[int], usable: list[Any]
) -> ScoredBatch:
    """Return a batch whose scores are the sums of the features of rows that have them all."""
    features = np.array(rows, dtype=np.float64)
    scored = np.asarray(~np.isnan(features).any(axis=1))
    found = (RowTimes(("trips", "rate"), np.array(times), np.array(usable, dtype=np.bool_)),)
    scores = ScoredRows(features.sum(axis=1), scored)
    return ScoredBatch(logged, RankingQuery(np.array(drivers)), NOW, 0.0015, features, scores, found, None)


def plain_batch(logged: LoggedModel, drivers: list[int], *, now: int = NOW) -> ScoredBatch:
    count = len(drivers)
    rows = [[driver % 7, driver / 8] for driver in drivers]
    found = scored_batch(logged, drivers, rows, [now - 1] * count, [True] * count)
    found.now = now
    return found


def answer(
    batch: ScoredBatch, places: list[int] | None = None, number: int = 0, request_id: str | None = None
) -> Answer:
    """Return the answer to a request for some of a batch, of which the best two are given."""
    at = np.arange(len(batch.query)) if places is None else np.array(places)
    ranking = rank(batch.query.candidate[at], batch.rows[at], top_k=2)
    kept = None if places is None else at
    return Answer(batch, len(at), kept, ranking.order, len(ranking.place), request_id, None, number)


def written(folder: Path, answers: Iterable[list[Answer]], privacy: Privacy | None = None) -> LogPlaces:
    """Write answers, each list of them as a frame, into one file of the spool, and let go of it."""
    places, compaction = LogPlaces(folder), Compaction(RUN, privacy or Privacy((), (), ""))
    frames = [frame for some in answers for frame in compaction.frames(some)]
    spool = SpoolFile(places.spooled(SERVICE, frames[0].hour, "stem"))
    for frame in frames:
        spool.append(frame.content, frame.rows)
    spool.close()
    return places


def rows_of(folder: Path) -> list[dict[str, Any]]:
    return [row for batch in batches(folder, SERVICE) for row in batch.to_pylist()]


def column(rows: list[dict[str, Any]], name: str) -> list[Any]:
    return [row[name] for row in rows]


def test_rows_say_what_was_read_what_it_was_scored_by_and_where_it_ranks(tmp_path: Path) -> None:
    logged = logged_model({"rate": 0.1})
    found = scored_batch(
        logged,
        [11, 12, 13, 14],
        [[1, 0.5], [NAN, 0.5], [3, NAN], [NAN, NAN]],
        [NOW - 9, NOW - 9, NOW - 9, 0],
        [1, 1, 1, 0],
    )
    found.rows = ScoredRows(np.array([1.5, NAN, 3.1, NAN]), np.array([1, 0, 1, 0], bool), np.array([0, 0, 1, 0], bool))
    written(tmp_path, [[answer(found, [2, 0, 1, 3, 2], 7, "a"), answer(found, [0], 8)]])
    rows = rows_of(tmp_path)
    assert column(rows, "driver_id") == [13, 11, 12, 14, 13, 11]
    assert column(rows, names.REQUEST_ID) == ["a"] * 5 + [f"{RUN}-8"]
    assert column(rows, names.ANSWER) == [7] * 5 + [8]
    assert column(rows, names.POSITION) == [0, 1, 2, 3, 4, 0]
    assert column(rows, names.STATUS) == ["defaulted", "ok", "missing_features", "missing_features", "defaulted", "ok"]
    assert column(rows, names.SCORE) == [3.1, 1.5, None, None, 3.1, 1.5]
    assert column(rows, names.RANK) == [1, 2, None, None, None, 1]
    assert column(rows, names.GIVEN) == [True, True, False, False, False, True]
    assert column(rows, names.BATCH_ROW) == [1, 0, None, None, 1, 0]
    assert set(column(rows, names.BATCH_SIZE)) == {2}
    assert column(rows, "stats__trips") == [3, 1, None, None, 3, 1]
    assert column(rows, "stats__trips__status") == [1, 1, 2, 3, 1, 1]
    assert column(rows, "stats__rate__status") == [2, 1, 1, 3, 2, 1]
    assert column(rows, names.DEFAULTED) == [["rate"], [], [], ["rate"], ["rate"], []]
    assert column(rows, "stats__rate")[0] == float(np.float32(0.1))
    assert [one is None for one in column(rows, names.event_time_column("stats"))] == [False] * 3 + [True, False, False]
    assert {one.microsecond for one in column(rows, names.LOG_TIMESTAMP)} == {5}
    assert {row[names.READ_MICROSECONDS] for row in rows} == {1500}


def test_a_row_that_is_too_old_or_spoilt_is_told_from_one_that_is_not_there(tmp_path: Path) -> None:
    found = scored_batch(logged_model(), [1, 2, 3], [[NAN, NAN]] * 3, [NOW - 9, NOW - 9, 0], [False, True, False])
    found.unreadable = np.array([False, True, False])
    written(tmp_path, [[answer(found)]])
    assert column(rows_of(tmp_path), "stats__trips__status") == [4, 0, 3]


def test_a_default_that_the_feature_s_type_can_not_hold_is_null_in_its_column(tmp_path: Path) -> None:
    found = scored_batch(logged_model({"trips": 2.5}), [1], [[NAN, 1.0]], [NOW - 9], [True])
    written(tmp_path, [[answer(found)]])
    assert [(row["stats__trips"], row[names.DEFAULTED]) for row in rows_of(tmp_path)] == [(None, ["trips"])]


def test_spooled_rows_and_those_of_the_parquet_file_are_the_same(tmp_path: Path) -> None:
    logged = logged_model()
    one, two = plain_batch(logged, [1, 2, 3]), plain_batch(logged, [4, 5])
    places = written(tmp_path, [[answer(one, [2, 0], 0), answer(two, None, 1)], [answer(one, [1], 2)]])
    spooled = list(batches(tmp_path, SERVICE))
    assert file_spooled(tmp_path, 0, datetime.now(tz=UTC)) == []
    filed = list(batches(tmp_path, SERVICE))
    assert pa.Table.from_batches(filed).equals(pa.Table.from_batches(spooled), check_metadata=True)
    assert column(pa.Table.from_batches(filed).to_pylist(), names.BATCH) == [0, 0, 1, 1, 0]
    (file,) = files(tmp_path, SERVICE)
    assert file.relative_to(tmp_path).parts[:-1] == (SERVICE, *partition(NOW // HOUR).split("/"))
    assert not [path for path in places.spool.rglob("*") if path.is_file()]


def test_a_span_of_time_is_found_by_the_hour_and_cut_by_the_microsecond(tmp_path: Path) -> None:
    logged = logged_model()
    hours = [plain_batch(logged, [hour], now=NOW + hour * HOUR) for hour in range(3)]
    frames = Compaction(RUN, Privacy((), (), "")).frames([answer(one) for one in hours])
    for frame in frames:
        spool = SpoolFile(LogPlaces(tmp_path).spooled(SERVICE, frame.hour, "stem"))
        spool.append(frame.content, frame.rows)
        spool.close()
    begin = datetime.fromtimestamp(NOW / 1e6, tz=UTC) + timedelta(hours=1)

    def drivers(*span: datetime | None) -> list[int]:
        return [row["driver_id"] for batch in batches(tmp_path, SERVICE, *span) for row in batch.to_pylist()]

    for _ in range(2):
        assert drivers() == [0, 1, 2]
        assert drivers(begin) == [1, 2]
        assert drivers(begin, begin + timedelta(microseconds=1)) == [1]
        assert drivers(None, begin) == [0]
        assert drivers(begin + timedelta(microseconds=1), begin + timedelta(minutes=1)) == []
        file_spooled(tmp_path, 0, datetime.now(tz=UTC))
    assert [len(files(tmp_path, SERVICE, begin, end)) for end in (begin, begin + timedelta(hours=2))] == [1, 2]


def test_some_columns_are_read_without_the_others(tmp_path: Path) -> None:
    written(tmp_path, [[answer(plain_batch(logged_model(), [1, 2]))]])
    (found,) = batches(tmp_path, SERVICE, datetime(2000, 1, 1, tzinfo=UTC), columns=["driver_id", "__rank"])
    assert found.to_pylist() == [{"driver_id": 1, "__rank": 2}, {"driver_id": 2, "__rank": 1}]


@pytest.mark.parametrize("cut", ["head", "body", "byte"])
def test_of_a_torn_file_all_whole_frames_are_read(cut: str, tmp_path: Path) -> None:
    path = tmp_path / "torn"
    frames = [b"".join(framed(pa.record_batch({"a": [number]}))) for number in range(3)]
    last = frames[2]
    torn = {"head": last[:10], "body": last[:-9], "byte": last[:60] + bytes([last[60] ^ 1]) + last[61:]}[cut]
    path.write_bytes(b"".join(frames[:2]) + torn)
    assert [batch.to_pydict()["a"] for batch in read_frames(path)] == [[0], [1]]


def test_what_is_being_written_is_left_alone_and_what_was_left_is_taken_up(tmp_path: Path) -> None:
    places = LogPlaces(tmp_path)
    held, left = (SpoolFile(places.spooled(SERVICE, 1, name)) for name in ("held", "left"))
    (held.path.parent / "unnamed.new").touch()
    left.close()
    assert list(left_behind(places.spool)) == [left.path]
    assert file_spooled(tmp_path, 0, datetime.now(tz=UTC)) == []
    assert [path.name for path in held.path.parent.iterdir()] == ["held.frames"]
    held.close()


def test_a_file_whose_writer_was_killed_before_it_removed_the_spool_is_not_made_twice(tmp_path: Path) -> None:
    places = written(tmp_path, [[answer(plain_batch(logged_model(), [1]))]])
    (spooled,) = places.spool.rglob("*.frames")
    content = spooled.read_bytes()
    file_spooled(tmp_path, 0, datetime.now(tz=UTC))
    spooled.write_bytes(content)
    assert len(rows_of(tmp_path)) == 1
    file_spooled(tmp_path, 0, datetime.now(tz=UTC))
    assert len(rows_of(tmp_path)) == 1
    assert not spooled.exists()


def test_what_can_not_be_filed_is_told_and_kept(tmp_path: Path) -> None:
    places = LogPlaces(tmp_path)
    spool = SpoolFile(places.spooled(SERVICE, 1, "odd"))
    spool.append(pa.record_batch({"a": [1]}), 1)
    spool.close()
    (fault,) = file_spooled(tmp_path, 0, datetime.now(tz=UTC))
    assert fault.startswith(str(spool.path))
    assert spool.path.exists()


def test_a_failed_append_leaves_nothing_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool, write = SpoolFile(tmp_path / "spool.frames"), os.write
    spool.append(pa.record_batch({"a": [1]}), 1)

    def full(file: int, content: memoryview) -> int:
        if len(content) == 50:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(file, content[: max(16, len(content) - 50)])

    two = pa.record_batch({"a": [2]})
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        with pytest.raises(OSError, match="No space left"):
            spool.append(two, 1)
    spool.append(pa.record_batch({"a": [3]}), 1)
    assert [batch.to_pydict()["a"] for batch in read_frames(spool.path)] == [[1], [3]]
    spool.path.unlink()
    with pytest.raises(FileNotFoundError, match="removed"):
        spool.append(pa.record_batch({"a": [4]}), 1)
    spool.close()


def test_the_old_is_removed_by_the_hour_and_nothing_else(tmp_path: Path) -> None:
    now = datetime(2026, 11, 27, 14, 30, tzinfo=UTC)
    hours = [int((now - timedelta(**ago)).timestamp()) // 3600 for ago in ({}, {"days": 2}, {"days": 2, "hours": 1})]
    places = LogPlaces(tmp_path)
    kept = [places.service(SERVICE) / partition(hour) / "one.parquet" for hour in hours]
    others = [
        kept[2].with_name("mine.txt"),
        places.service(SERVICE) / "date=x/hour=1/a.parquet",
        places.spool / "a.frames",
    ]
    for path in (*kept, *others):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert remove_older(tmp_path, 2, now) == 1
    assert [path.exists() for path in (*kept, *others)] == [True, True, False, True, True, True]
    others[0].unlink()
    remove_older(tmp_path, 2, now)
    remove_older(tmp_path, 1, now)
    assert not kept[1].parent.exists()


def test_a_full_queue_drops_and_says_how_many_rows() -> None:
    waiting, logged = AnswerQueue(5), logged_model()
    large, small = (answer(plain_batch(logged, list(range(count)))) for count in (9, 2))
    assert [waiting.put(one) for one in (large, small)] == [0, 2]
    assert waiting.rows == 9
    assert waiting.take(9) == [large]
    assert [waiting.put(one) for one in (small, small, small)] == [0, 0, 2]
    waiting.close()
    assert waiting.put(small) == 2
    assert len(waiting.take(9)) == 2


def test_a_request_is_in_the_sample_or_not_by_its_id_alone() -> None:
    ids = [f"request {number}" for number in range(4000)]
    chosen = [one for one in ids if is_sampled(one, 0.25)]
    assert 0.2 < len(chosen) / len(ids) < 0.3
    assert chosen == [one for one in ids if is_sampled(one, 0.25)]
    assert set(chosen) < {one for one in ids if is_sampled(one, 0.5)}
    assert chosen[:2] == ["request 1", "request 5"] or len(chosen) > 2
    assert all(is_sampled(one, 1.0) for one in ids)


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "4bf92f3577b34da6a3ce929d0e0e4736"),
        ("01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more", "4bf92f3577b34da6a3ce929d0e0e4736"),
        ("ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", None),
        ("00-00000000000000000000000000000000-00f067aa0ba902b7-01", None),
        ("4bf92f3577b34da6a3ce929d0e0e4736", None),
    ],
)
def test_a_trace_is_what_w3c_calls_one(header: str, found: str | None) -> None:
    assert trace_id_of({"traceparent": header}) == found
    assert trace_id_of({}) is trace_id_of(None) is None


def test_columns_are_left_empty_or_hashed_and_what_else_is_known_stays(tmp_path: Path) -> None:
    logged = logged_model()
    described = {**logged.schema.metadata}
    for key, value in described.items():
        described[key] = value.replace(b'"omitted": []', b'"omitted": ["stats__rate"]')
    logged = LoggedModel(
        logged.model, logged.schema.with_metadata(described), logged.inputs, "driver_id", logged.columns, logged.views
    )
    found = scored_batch(logged, [1, 2], [[1, 0.5], [2, NAN]], [NOW - 1] * 2, [True] * 2)
    privacy = Privacy(("stats__rate", names.TRACE_ID), ("driver_id", names.REQUEST_ID), "secret")
    written(tmp_path, [[answer(found, request_id="me")]], privacy)
    rows = rows_of(tmp_path)
    assert column(rows, "stats__rate") == [None, None]
    assert column(rows, "stats__rate__status") == [1, 2]
    assert column(rows, "stats__trips") == [1, 2]
    assert len({*column(rows, "driver_id"), 1, 2}) == 4
    assert {len(one) for one in column(rows, names.REQUEST_ID)} == {32}
    assert b"secret" not in b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


def test_hashes_depend_on_the_value_and_the_key_and_are_of_its_type() -> None:
    one, other = Privacy((), ("a",), "one"), Privacy((), ("a",), "other")
    for values in (pa.array([1, 2, 1, None]), pa.array(["x", "y", "x", None]), pa.array([b"x", b"y", b"x", None])):
        hashed, again = one.applied("a", values), one.applied("a", values)
        assert hashed.type == values.type
        assert hashed.equals(again)
        assert hashed[0] == hashed[2] != hashed[1]
        assert not hashed[3].is_valid
        assert hashed[0] != other.applied("a", values)[0]
    assert one.applied("b", values) is values


@pytest.mark.parametrize("kind", [pa.int32(), pa.float64()])
def test_what_has_no_hash_is_refused(kind: pa.DataType) -> None:
    with pytest.raises(SettingError, match=r"prediction_log.hashed names 'a' \((int32|double)\).*omitted"):
        Privacy((), ("a",), "key").require_possible(pa.schema([("a", kind)]), ())
    with pytest.raises(SettingError, match=r"prediction_log\.hashed names 'a'"):
        Privacy((), ("a",), "key").require_possible(pa.schema([("a", pa.int64())]), ("a",))


def test_texts_that_are_left_empty_are_still_there_or_not() -> None:
    veiled = Privacy(("a",), ("b",), "key").veiled("a", pa.array(["x", None]))
    assert veiled.to_pylist() == ["", None]
    assert Privacy(("a",), (), "").veiled("a", pa.array([b"x", None], pa.binary())).to_pylist() == [b"", None]
    assert len(Privacy((), ("b",), "key").veiled("b", pa.array(["x"])).to_pylist()[0]) == 32


def test_hashes_need_a_key() -> None:
    with pytest.raises(ValidationError, match="DRIVER_RANKING_PREDICTION_LOG_HASH_KEY") as caught:
        PredictionLogSettings(hashed=("driver_id",), omitted=("what it is",))
    assert "what it is" not in str(caught.value)


def test_a_place_that_can_not_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingError, match=r"can't be written at .*/file: Not a directory\. Set prediction_log\.path"):
        PredictionLog(PredictionLogSettings(enabled=True, path=tmp_path / "file"))


def count(name: str) -> float:
    (metric,) = getattr(log_metrics(), name).collect()
    return float(metric.samples[0].value)


class Failing(Spools):
    """Files on a disk that is full for a while."""

    fails = 2

    def append(self, frame: Any) -> None:
        if self.fails:
            self.fails -= 1
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        super().append(frame)


def test_what_could_not_be_written_is_written_when_there_is_room_again(tmp_path: Path) -> None:
    waiting, done = AnswerQueue(100), threading.Event()
    spools = Failing(LogPlaces(tmp_path), RUN, Filed(99, 3), done.set)
    errors, rows = count("errors"), count("rows")
    writer = LogWriter(waiting, Compaction(RUN, Privacy((), (), "")), spools, 0.02)
    writer.thread.start()
    waiting.put(answer(plain_batch(logged_model(), [1, 2, 3])))
    assert done.wait(20)
    waiting.close()
    writer.thread.join(20)
    assert column(rows_of(tmp_path), "driver_id") == [1, 2, 3]
    assert count("errors") == errors + 2
    assert count("rows") == rows + 3


def test_what_can_not_be_written_by_the_end_is_counted(tmp_path: Path) -> None:
    waiting = AnswerQueue(100)
    spools = Failing(LogPlaces(tmp_path), RUN, Filed(99, 3), lambda: None)
    spools.fails = 10**9
    dropped = count("dropped")
    writer = LogWriter(waiting, Compaction(RUN, Privacy((), (), "")), spools, 0.02)
    for _ in range(2):
        waiting.put(answer(plain_batch(logged_model(), [1, 2, 3])))
    waiting.close()
    writer.thread.start()
    writer.thread.join(20)
    assert count("dropped") == dropped + 6


def test_what_no_row_can_be_made_of_is_counted_and_the_rest_is_written(tmp_path: Path) -> None:
    waiting = AnswerQueue(100)
    spools = Spools(LogPlaces(tmp_path), RUN, Filed(99, 99), lambda: None)
    dropped = count("dropped")
    writer = LogWriter(waiting, Compaction(RUN, Privacy((), (), "")), spools, 0.02)
    writer.thread.start()
    odd = plain_batch(logged_model(), [1])
    odd.times = ()
    waiting.put(answer(odd))
    while waiting.rows:
        pass
    waiting.put(answer(plain_batch(logged_model(), [2])))
    waiting.close()
    writer.thread.join(20)
    assert column(rows_of(tmp_path), "driver_id") == [2]
    assert count("dropped") == dropped + 1


def test_files_end_with_their_hour_and_their_age(tmp_path: Path) -> None:
    closed: list[int] = []
    spools = Spools(LogPlaces(tmp_path), RUN, Filed(3600, 99), lambda: closed.append(1))
    logged = logged_model()
    for frame in Compaction(RUN, Privacy((), (), "")).frames([answer(plain_batch(logged, [1]))]):
        spools.append(frame)
    spools.close_old(NOW)
    assert not closed
    spools.close_old(NOW + HOUR + 20_000_000)
    assert closed == [1]


def test_rows_of_two_models_are_apart(tmp_path: Path) -> None:
    one, other = plain_batch(logged_model(), [1]), plain_batch(logged_model(), [2])
    frames = Compaction(RUN, Privacy((), (), "")).frames(
        [answer(one, number=0), answer(other, number=1), answer(one, number=2)]
    )
    assert [(frame.logged, frame.rows) for frame in frames] == [(one.logged, 2), (other.logged, 1)]
    spools = Spools(LogPlaces(tmp_path), RUN, Filed(99, 99), lambda: None)
    for frame in frames:
        spools.append(frame)
    spools.close()
    file_spooled(tmp_path, 0, datetime.now(tz=UTC))
    assert len(files(tmp_path, SERVICE)) == 2


def test_what_is_complete_when_the_end_comes_is_filed(tmp_path: Path) -> None:
    places = written(tmp_path, [[answer(plain_batch(logged_model(), [1]))]])
    filing = LogFiling(places, 1)
    filing.soon()
    filing.thread.start()
    filing.end(60)
    assert not filing.thread.is_alive()
    assert len(files(tmp_path, SERVICE)) == 0, "it is older than a day"
    assert not list(places.spool.rglob("*.frames"))


def test_what_can_not_be_filed_is_tried_again_and_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    spool = SpoolFile(LogPlaces(tmp_path).spooled(SERVICE, 1, "odd"))
    spool.append(pa.record_batch({"a": [1]}), 1)
    spool.close()
    errors = count("errors")
    filing = LogFiling(LogPlaces(tmp_path), 0)
    filing.thread.start()
    filing.end(60)
    assert count("errors") > errors
    assert "Parquet files of the prediction log can't be written" in caplog.text


def test_services_have_folders_of_their_names_as_far_as_folders_can() -> None:
    assert [folder_name(name) for name in ("drivers v1", "a/b", "..")] == ["drivers v1", "a%2Fb", ".."]


def test_the_file_has_what_is_the_same_for_all_rows(tmp_path: Path) -> None:
    written(tmp_path, [[answer(plain_batch(logged_model({"rate": 0.1}), [1]))]])
    file_spooled(tmp_path, 0, datetime.now(tz=UTC))
    (file,) = files(tmp_path, SERVICE)
    assert b'"defaults": {"rate": 0.1}' in pq.read_schema(file).metadata[b"driver_ranking.prediction_log"]
