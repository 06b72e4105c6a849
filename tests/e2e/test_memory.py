"""The memory of a batch run does not grow with the number of rows."""

import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from driver_ranking.sample_data import (
    DRIVER_STATS_SCHEMA,
    ENTITY_ROWS_SCHEMA,
    SampleSize,
    driver_stats_batches,
    entity_row_batches,
    write_parquet,
)

pytestmark = pytest.mark.slow

LIMIT = 300  # MB that DuckDB may use


def peak_of_batch_run(project: Path, request: Path) -> float:
    """Run the pipeline and return the peak of its resident memory in MiB, by the operating system's account.

    Linux counts the memory of the process that starts a child into the child's peak, so a small shell starts it.
    """
    kedro = Path(sys.executable).with_name("kedro")
    command = f"'{kedro}' run --pipelines batch --params 'batch_request={request}' >/dev/null 2>&1"
    script = f"import os; os.system({command!r}); import resource as r; print(r.getrusage(r.RUSAGE_CHILDREN).ru_maxrss)"
    done = subprocess.run(
        [sys.executable, "-S", "-c", script], cwd=project, capture_output=True, text=True, check=True, env=os.environ
    )
    return int(done.stdout) / 1024


def test_the_peak_grows_no_further_than_the_memory_limit(project: Path, tmp_path: Path) -> None:
    config = project / "feature_repo/feature_store.yaml"
    text = config.read_text(encoding="utf-8")
    asof = "  type: feast_columnar.AsofOfflineStore\n"
    assert asof in text
    lines = [line for line in text.splitlines(keepends=True) if "memory_limit" not in line]
    config.write_text("".join(lines).replace(asof, f"{asof}  memory_limit: {LIMIT}MB\n"), encoding="utf-8")

    size = SampleSize.of_rows(1_000_000, drivers=1_000)
    stats = project / "data/01_raw/driver_stats.parquet"
    write_parquet(stats, DRIVER_STATS_SCHEMA, driver_stats_batches(size))
    peaks = []
    for rows in (500_000, 5_000_000):
        request = tmp_path / f"{rows}.parquet"
        write_parquet(request, ENTITY_ROWS_SCHEMA, entity_row_batches(size, rows))
        peaks.append(peak_of_batch_run(project, request))
        assert pq.read_metadata(project / "data/07_model_output/batch_output.parquet").num_rows == rows
    assert peaks[1] < peaks[0] + LIMIT, f"MiB: {peaks}; all that may grow is what DuckDB is allowed"
    assert peaks[1] < 1024, f"MiB: {peaks}"
