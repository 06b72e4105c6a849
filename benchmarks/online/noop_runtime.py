"""The ceiling: an MLServer runtime that answers a constant of the same shape."""

from mlserver import MLModel
from mlserver.types import InferenceRequest, InferenceResponse, ResponseOutput


class NoopRuntime(MLModel):  # type: ignore[misc] # MLServer is not typed
    """Reads nothing and scores nothing."""

    async def load(self) -> bool:
        """Load nothing."""
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Answer a driver and a score."""
        return InferenceResponse(
            id=payload.id,
            model_name=self.name,
            outputs=[
                ResponseOutput(name="driver_id", shape=[1], datatype="INT64", data=[1001]),
                ResponseOutput(name="score", shape=[1], datatype="FP64", data=[0.5]),
            ],
        )
