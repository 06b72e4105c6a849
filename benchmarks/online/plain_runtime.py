"""The baselines: MLServer runtimes as one writes it from the three libraries' own pages, with no thought of speed."""

import os
import warnings
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
from feast import FeatureStore
from mlserver import MLModel
from mlserver.codecs import NumpyCodec, StringCodec
from mlserver.types import InferenceRequest, InferenceResponse, RequestInput, ResponseOutput


class PlainRuntime(MLModel):  # type: ignore[misc] # MLServer is not typed
    """Features as a DataFrame, scores by pyfunc, the driver by argmax."""

    async def load(self) -> bool:
        """Load the model that the alias names and open its feature service."""
        warnings.simplefilter("ignore")  # else there are two with each request, which would make it slower yet
        extra = self.settings.parameters.extra
        self._store = FeatureStore(
            repo_path=extra["feature_repo"], fs_yaml_file=Path(os.environ["FEAST_FS_YAML_FILE_PATH"])
        )
        self._service = self._store.get_feature_service(extra["feature_service"])
        mlflow.set_tracking_uri(extra["tracking_uri"])
        self._model = mlflow.pyfunc.load_model(self.settings.parameters.uri)
        self._names = self._model.metadata.get_input_schema().input_names()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Answer the driver with the highest score."""
        driver_id = NumpyCodec.decode_input(payload.inputs[0]).ravel()
        rows = [{"driver_id": one} for one in driver_id.tolist()]
        features = self._store.get_online_features(features=self._service, entity_rows=rows).to_df()
        score = self._model.predict(features[self._names].astype(float))  # it takes no int64
        best = int(np.argmax(score))
        return InferenceResponse(
            id=payload.id,
            model_name=self.name,
            outputs=[
                ResponseOutput(name="driver_id", shape=[1], datatype="INT64", data=[int(driver_id[best])]),
                ResponseOutput(name="score", shape=[1], datatype="FP64", data=[float(score[best])]),
            ],
        )


class PlainTextsRuntime(PlainRuntime):
    """The same for text keys and for features of the request, of which Feast takes none that no view computes from."""

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Answer the candidate with the highest score."""
        given = {one.name: self._values(one) for one in payload.inputs}
        key, ids = next(iter(given.items()))
        columns = {name: values if len(values) == len(ids) else values * len(ids) for name, values in given.items()}
        names = [name for name in columns if name not in self._names]
        rows = [dict(zip(names, row, strict=True)) for row in zip(*(columns[name] for name in names), strict=True)]
        features = self._store.get_online_features(features=self._service, entity_rows=rows).to_df()
        for name in set(columns) - set(names):
            features[name] = columns[name]
        score = self._model.predict(features[self._names].astype(float))
        best = int(np.argmax(score))
        return InferenceResponse(
            id=payload.id,
            model_name=self.name,
            outputs=[
                ResponseOutput(name=key, shape=[1], datatype="BYTES", data=[ids[best]]),
                ResponseOutput(name="score", shape=[1], datatype="FP64", data=[float(score[best])]),
            ],
        )

    def _values(self, one: RequestInput) -> list[Any]:
        if one.datatype == "BYTES":
            return list(StringCodec.decode_input(one))
        return list(NumpyCodec.decode_input(one).ravel().tolist())
