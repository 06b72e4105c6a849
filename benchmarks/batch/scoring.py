"""The programs that score: the pipeline's node, and what one would write by hand.

Each is a process of its own, and imports what it needs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from measure import timed

if TYPE_CHECKING:
    from pathlib import Path


def _registry(folder: Path) -> Any:  # noqa: ANN401 - mlflow is imported in the children alone
    from driver_ranking.model import ModelRegistry, RegistryLocation

    return ModelRegistry(RegistryLocation("driver_ranking", "champion", folder / "project/data/06_models/mlflow"))


def resolve(folder: Path) -> Any:  # noqa: ANN401 - likewise
    """Return the champion of the project."""
    return _registry(folder).resolve()


def _score_node(folder: Path, name: str) -> None:
    from driver_ranking.datasets.parquet_stream import ParquetStreamDataset
    from driver_ranking.pipelines.batch.nodes import predict

    registry = _registry(folder)
    registry.load(registry.resolve())  # imports scikit-learn
    source = ParquetStreamDataset(filepath=str(folder / f"{name}.parquet"))
    target = ParquetStreamDataset(filepath=str(folder / "scored.parquet"))
    timed(lambda: target.save(predict(source.load(), registry, 5, "request")))


def score_node(folder: Path) -> None:
    """Score as the pipeline does."""
    _score_node(folder, "input")


def score_node_tenth(folder: Path) -> None:
    """Likewise, a tenth of the rows."""
    _score_node(folder, "input-tenth")


def score_by_hand(folder: Path) -> None:
    """Read with pyarrow, predict on arrays, write with pyarrow: what one would write for this model and these rows."""
    import mlflow.sklearn
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    model = resolve(folder)
    estimator = mlflow.sklearn.load_model(model.local_path)
    names = list(model.feature_names)

    def work() -> None:
        source = pq.ParquetFile(folder / "input.parquet")
        schema = source.schema_arrow.append(pa.field("score", pa.float64()))
        with pq.ParquetWriter(folder / "scored-by-hand.parquet", schema) as writer:
            for batch in source.iter_batches(131_072):
                columns = [batch.column(name).to_numpy(zero_copy_only=False) for name in names]
                features = np.column_stack(columns).astype(np.float64)
                complete = ~np.isnan(features).any(axis=1)
                score = np.full(batch.num_rows, np.nan)
                if complete.any():
                    score[complete] = estimator.predict(features[complete])
                writer.write_batch(pa.record_batch([*batch.columns, pa.array(score, mask=~complete)], schema=schema))

    timed(work)
