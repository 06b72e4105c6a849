"""Small files of stock datasets, which are whole or not there."""

from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import pytest
from kedro.io import DatasetError

from driver_ranking.datasets.replaced import ReplacedJSONDataset, ReplacedPickleDataset, ReplacedPlotlyDataset


@pytest.mark.parametrize(
    ("kind", "data"),
    [(ReplacedJSONDataset, {"rows": 3}), (ReplacedPickleDataset, [1, 2]), (ReplacedPlotlyDataset, go.Figure())],
)
def test_what_is_saved_is_loaded_and_nothing_lies_beside_it(tmp_path: Path, kind: Any, data: object) -> None:
    dataset = kind(filepath=str(tmp_path / "folder" / "file"))
    dataset.save(data)
    assert dataset.load() == data
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["file"]


@pytest.mark.parametrize("kind", [ReplacedJSONDataset, ReplacedPickleDataset])
def test_data_that_can_not_be_written_leaves_the_last_file_as_it_was(tmp_path: Path, kind: Any) -> None:
    dataset = kind(filepath=str(tmp_path / "file"))
    dataset.save({"rows": 3})
    with pytest.raises(DatasetError):
        dataset.save({"rows": lambda: None})
    assert dataset.load() == {"rows": 3}
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_other_places_are_written_as_kedro_does(tmp_path: Path) -> None:
    dataset = ReplacedJSONDataset(filepath="memory://replaced/file.json")
    dataset.save({"rows": 3})
    assert dataset.load() == {"rows": 3}
    assert not list(tmp_path.iterdir())
