"""One version of the registered model, and what its signature says that it takes."""

from dataclasses import dataclass

from driver_ranking.errors import ModelSignatureError

_NUMERIC_TYPES = {"double", "float", "long", "integer", "boolean"}


@dataclass(frozen=True)
class RegisteredModel:
    """One version of the registered model, resolved.

    Attributes:
        name: Name of the registered model.
        version: The version, a decimal number as text.
        run_id: The run that made it; None if it was registered without one.
        source_uri: Where the registry says its files come from.
        feature_service: The Feast feature service that its tag names.
        feature_names: The signature's columns, in order.
        local_path: Folder with its files on this machine. If they had to be fetched, it goes when this object goes.
        feature_types: The columns' types as MLflow names them: double, float, long, integer, boolean; nothing stands
            for doubles.
    """

    name: str
    version: str
    run_id: str | None
    source_uri: str
    feature_service: str
    feature_names: tuple[str, ...]
    local_path: str
    feature_types: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """Return how messages name it."""
        return f"model {self.name!r} version {self.version}"


def signature_columns(folder: str, label: str) -> dict[str, str]:
    """Return the types of the columns that a logged model takes, by name, in order.

    Args:
        folder: The model's files.
        label: How messages name it, at the start of a sentence.

    Raises:
        ModelSignatureError: The model has no signature with named, numeric columns.
    """
    from mlflow.models import Model

    signature = Model.load(folder).signature
    inputs = signature.inputs if signature else None
    advice = "Log it with `signature=mlflow.models.infer_signature(...)` of a DataFrame of doubles."
    if inputs is None or inputs.is_tensor_spec() or not inputs.has_input_names():
        message = f"{label} has no signature that names its columns. {advice}"
        raise ModelSignatureError(message)
    types = {str(column.name): str(getattr(column.type, "name", column.type)) for column in inputs}
    odd = [f"{name} ({kind})" for name, kind in types.items() if kind not in _NUMERIC_TYPES]
    if odd:
        message = f"{label} has a signature with columns that are not numbers: {', '.join(odd)}. {advice}"
        raise ModelSignatureError(message)
    return types
