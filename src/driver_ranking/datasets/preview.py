"""What kedro viz shows of a dataset: it goes by the names of these types, in the annotation of ``preview``."""

from typing import Any, NewType

import pyarrow as pa

TablePreview = NewType("TablePreview", dict[str, Any])
JSONPreview = NewType("JSONPreview", str)


def table_preview(table: pa.Table) -> TablePreview:
    """Return some rows as kedro viz takes them; values that JSON has no word for become text."""
    rows = [[_shown(value) for value in row.values()] for row in table.to_pylist()]
    return TablePreview({"index": list(range(len(rows))), "columns": table.column_names, "data": rows})


def _shown(value: object) -> object:
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


class PreviewsHead:
    """A dataset that shows its first rows; for modules in which annotations are texts, which kedro viz can't read."""

    def head(self, rows: int) -> pa.Table:
        """Return some first rows."""
        raise NotImplementedError

    def preview(self, rows: int = 5) -> TablePreview:
        """Return some first rows, for kedro viz."""
        return table_preview(self.head(rows))
