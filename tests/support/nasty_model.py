"""A model as code, which MLflow runs from this file: it does what its configuration says, or a file."""

import asyncio
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel


def _raise(error: BaseException) -> Any:
    raise error


HABITS: Mapping[str, Callable[[pd.DataFrame], Any]] = {
    "well": lambda rows: 100 + rows["conv_rate"].to_numpy(),
    "exits": lambda _: sys.exit("at the end"),
    "raises": lambda _: _raise(ValueError("of-secrets")),
    "is interrupted": lambda _: _raise(KeyboardInterrupt()),
    "is cancelled": lambda _: _raise(asyncio.CancelledError()),
    "hangs": lambda _: time.sleep(600),
    "strings": lambda rows: np.array(["a"] * len(rows)),
    "nan": lambda rows: np.full(len(rows), np.nan),
    "none": lambda _: None,
    "generator": lambda rows: (value for value in rows["conv_rate"]),
    "one for all": lambda rows: rows["conv_rate"].to_numpy()[:1],
    "squeezed": lambda rows: rows["conv_rate"].to_numpy().squeeze() if len(rows) > 1 else None,
    "made-up rows only": lambda rows: (
        rows["conv_rate"] if rows["conv_rate"].isin([0, 1, 10]).all() else _raise(KeyError())
    ),
}


class Nasty(PythonModel):
    """Behaves as it is told to."""

    def load_context(self, context: Any) -> None:
        """Do what there is to do at a load."""
        self.config = context.model_config
        if self.config["at_load"] != "well":
            HABITS[self.config["at_load"]](pd.DataFrame())

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> Any:
        """Score, or not."""
        del context, params
        switch = Path(self.config["switch"])
        habit = switch.read_text(encoding="utf-8") if switch.exists() else self.config["habit"]
        return HABITS[habit](model_input)


set_model(Nasty())
