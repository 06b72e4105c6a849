"""The log as the service knows it: it is told of models and of answers, and makes no request wait."""

import hashlib
import itertools
import logging
import time
import uuid
from typing import TYPE_CHECKING, Final

from driver_ranking.errors import SettingError
from driver_ranking.model_features import ModelFeatures
from driver_ranking.model_version import RegisteredModel
from driver_ranking.prediction_log.description import model_columns, model_description
from driver_ranking.prediction_log.environment import environment
from driver_ranking.prediction_log.places import SPOOLED, LogPlaces
from driver_ranking.prediction_log.schema import LogSchema, log_schema
from driver_ranking.prediction_log.spool import SpoolFile
from driver_ranking.serving.contract import RankingContract
from driver_ranking.serving.prediction_log.answer_queue import AnswerQueue
from driver_ranking.serving.prediction_log.compaction import Compaction, given_id
from driver_ranking.serving.prediction_log.entries import Answer, LoggedModel, ScoredBatch
from driver_ranking.serving.prediction_log.filing import LogFiling
from driver_ranking.serving.prediction_log.metrics import log_metrics
from driver_ranking.serving.prediction_log.privacy import Privacy
from driver_ranking.serving.prediction_log.writer import Filed, LogWriter, Spools
from driver_ranking.serving.settings import PredictionLogSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from feast import FeatureStore
    from feast.types import FeastType
    from numpy import intp
    from numpy.typing import NDArray

logger = logging.getLogger("mlserver.driver_ranking")

_HASHES: Final = 2**64
_FILED_WITHIN: Final = 2.0  # seconds


class PredictionLog:
    """Takes answers from the event loop; two threads do the rest."""

    def __init__(self, settings: PredictionLogSettings) -> None:
        """Look whether it can be written, and start.

        Args:
            settings: The settings; with absolute paths.

        Raises:
            SettingError: It can't be written where it is to be.
        """
        self._settings = settings
        self._run_id = uuid.uuid4().hex[:16]
        self._privacy = Privacy(settings.omitted, settings.hashed, settings.hash_key.get_secret_value())
        self._places = LogPlaces(settings.path)
        _require_writable(self._places, self._run_id)
        self._numbers = itertools.count()
        self._metrics = log_metrics()
        self._queue = AnswerQueue(settings.queue_rows)
        self._metrics.waiting.set_function(lambda: self._queue.rows)
        self._filing = LogFiling(self._places, settings.retention_days)
        filed = Filed(settings.file_seconds, settings.file_rows)
        spools = Spools(self._places, self._run_id, filed, self._filing.soon)
        compaction = Compaction(self._run_id, self._privacy)
        self._writer = LogWriter(self._queue, compaction, spools, settings.flush_seconds)
        self._writer.thread.start()
        self._filing.thread.start()

    def model(
        self,
        store: "FeatureStore",
        model: RegisteredModel,
        features: ModelFeatures,
        contract: RankingContract,
        request: "tuple[Mapping[str, FeastType], Mapping[str, FeastType]]",
    ) -> LoggedModel:
        """Return what is logged of a model.

        Args:
            store: The applied feature store.
            model: The model.
            features: Where its features come from.
            contract: What requests for it have to have.
            request: The keys by which its features are read, and what on-demand views compute from besides.

        Raises:
            UnloggableModelError: Feast can't log what it takes, or two columns would have one name.
            SettingError: A column of it can't be hashed.
        """
        keys, computed_from = request
        requested = {name: model.types[name] for name in features.requested if name not in keys}
        schema = log_schema(store, features.service, keys=keys, request=computed_from, requested=requested)
        columns = model_columns(model, schema)
        self._privacy.require_possible(schema.arrow, {columns[name] for name in model.number_columns})
        self._warn_of_unknown(model, schema)
        described = {
            **model_description(model, columns, features.defaults),
            "run_id": self._run_id,
            "project": store.project,
            "candidate": contract.candidate.name,
            "keys": [one.name for one in contract.keys],
            "request": [one.name for one in contract.request],
            "omitted": sorted(self._privacy.omitted),
            "hashed": sorted(self._privacy.hashed),
            "environment": environment(),
        }
        taken = {view.name: [name for name in view.features if name in features.stored] for view in schema.views}
        views = {name: some[0] for name, some in taken.items() if some}
        return LoggedModel(
            model, schema.with_metadata(described), schema.inputs, contract.candidate.name, columns, views
        )

    def _warn_of_unknown(self, model: RegisteredModel, schema: LogSchema) -> None:
        private = (*self._settings.omitted, *self._settings.hashed)
        unknown = sorted(name for name in private if name not in schema.arrow.names)
        if unknown:
            logger.warning(
                "The prediction log of the feature service %r has no column %s, which prediction_log omits or hashes.",
                model.feature_service,
                ", ".join(map(repr, unknown)),
            )

    def add(  # noqa: PLR0913, PLR0917 - by place, as it is called for each request
        self,
        batch: ScoredBatch,
        places: "NDArray[intp] | None",
        order: "NDArray[intp]",
        given: int,
        request_id: str | None,
        trace_id: str | None,
    ) -> None:
        """Take an answer, or count it as dropped. See `Answer` for what is given."""
        number = next(self._numbers)
        if self._settings.sample_rate < 1 and not is_sampled(
            given_id(request_id, self._run_id, number), self._settings.sample_rate
        ):
            return
        rows = len(batch.query) if places is None else len(places)
        dropped = self._queue.put(Answer(batch, rows, places, order, given, request_id, trace_id, number))
        if dropped:
            self._metrics.dropped.inc(dropped)

    def close(self, seconds: float) -> None:
        """Write all that there is, and have files made of it.

        Args:
            seconds: How long that may take. The process that makes the files is waited for a little, and goes on by
                itself; what it can't do is done when a service starts again.
        """
        end = time.monotonic() + seconds
        self._queue.close()
        self._writer.thread.join(seconds)
        self._filing.end(min(_FILED_WITHIN, max(0.0, end - time.monotonic())))


def is_sampled(request_id: str, rate: float) -> bool:
    """Tell whether a request is in the sample, which depends on its id alone."""
    digest = hashlib.blake2b(request_id.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") < rate * _HASHES


def _require_writable(places: LogPlaces, run_id: str) -> None:
    trial = places.spool / f"{run_id}{SPOOLED}"
    try:
        SpoolFile(trial).close()
        trial.unlink()
    except OSError as error:
        message = (
            f"The prediction log can't be written at {places.root}: {error.strerror}. Set prediction_log.path to a "
            f"folder that can be written and locked, or prediction_log.enabled to false."
        )
        raise SettingError(message) from error
