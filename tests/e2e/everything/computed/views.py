"""On-demand feature views in each mode; they take null values, but no driver without a row."""

from typing import Any

import pandas as pd
from feast import Field, RequestSource
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Float32, Float64, Int64

from feature_views import driver_stats


@on_demand_feature_view(
    sources=[driver_stats],
    schema=[Field(name="effort", dtype=Float32), Field(name="unasked", dtype=Float64)],
    mode="pandas",
)
def effort(inputs: pd.DataFrame) -> pd.DataFrame:
    """Multiply two columns."""
    if "driver_id" in inputs and (inputs["driver_id"] == 9001).any():
        message = "a driver without a row"
        raise ValueError(message)
    made = inputs["conv_rate"] * inputs["avg_daily_trips"]
    return pd.DataFrame({"effort": made.astype("float32"), "unasked": made.astype("float64")})


@on_demand_feature_view(
    sources=[driver_stats[["avg_daily_trips"]]], schema=[Field(name="busy", dtype=Int64)], mode="python"
)
def busy(inputs: dict[str, Any]) -> dict[str, Any]:
    """Compare a list's numbers."""
    if 9001 in inputs.get("driver_id", ()):
        message = "a driver without a row"
        raise ValueError(message)
    return {"busy": [None if trips is None else int(trips > 500) for trips in inputs["avg_daily_trips"]]}


@on_demand_feature_view(
    sources=[driver_stats[["acc_rate", "conv_rate"]]], schema=[Field(name="mood", dtype=Float64)], mode="python"
)
def mood(inputs: dict[str, Any]) -> dict[str, Any]:
    """Add two lists."""
    both = zip(inputs["acc_rate"], inputs["conv_rate"], strict=True)
    return {"mood": [None if a is None or b is None else a + b for a, b in both]}


@on_demand_feature_view(
    sources=[driver_stats[["conv_rate"]], RequestSource(name="offer", schema=[Field(name="price", dtype=Float64)])],
    schema=[Field(name="surge", dtype=Float64)],
    mode="pandas",
)
def surge(inputs: pd.DataFrame) -> pd.DataFrame:
    """Multiply a feature with a column of the request."""
    return pd.DataFrame({"surge": (inputs["conv_rate"] * inputs["price"]).astype("float64")})
