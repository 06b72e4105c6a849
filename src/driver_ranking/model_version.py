"""One version of the registered model, and what its signature says that it takes."""

from dataclasses import dataclass

from driver_ranking.errors import ModelSignatureError

TEXT_TYPES = frozenset({"string", "binary"})
"""The types of columns, as MLflow names them, that hold no numbers."""

_COLUMN_TYPES = TEXT_TYPES | {"double", "float", "long", "integer", "boolean"}


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
        feature_types: The columns' types as MLflow names them: double, float, long, integer, boolean, string, binary;
            nothing stands for doubles.
        candidate_key: The join key of what is ranked, as its tag names it; None if it names none.
        request_features: Which columns come with the request, as its tag names them.
        defaults: What stands for which missing feature, as its tag says: names with numbers, booleans or texts.
    """

    name: str
    version: str
    run_id: str | None
    source_uri: str
    feature_service: str
    feature_names: tuple[str, ...]
    local_path: str
    feature_types: tuple[str, ...] = ()
    candidate_key: str | None = None
    request_features: tuple[str, ...] = ()
    defaults: tuple[tuple[str, float | bool | str], ...] = ()

    @property
    def types(self) -> dict[str, str]:
        """Return the type of each column, by name, in order."""
        kinds = self.feature_types or ("double",) * len(self.feature_names)
        return dict(zip(self.feature_names, kinds, strict=True))

    @property
    def number_columns(self) -> tuple[str, ...]:
        """Return the columns that are numbers, booleans among them, in order: those of `FeatureRows.numbers`."""
        return tuple(name for name, kind in self.types.items() if kind not in TEXT_TYPES)

    @property
    def text_columns(self) -> tuple[str, ...]:
        """Return the columns that are texts or bytes, in order."""
        return tuple(name for name, kind in self.types.items() if kind in TEXT_TYPES)

    @property
    def optional_columns(self) -> tuple[str, ...]:
        """Return the columns that a request may lack altogether: a default stands for each."""
        defaults = dict(self.defaults)
        return tuple(name for name in self.request_features if name in defaults)

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
        ModelSignatureError: The model has no signature with named columns of numbers and texts.
    """
    from mlflow.models import Model

    signature = Model.load(folder).signature
    inputs = signature.inputs if signature else None
    advice = "Log it with `signature=mlflow.models.infer_signature(...)` of a DataFrame of numbers and texts."
    if inputs is None or inputs.is_tensor_spec() or not inputs.has_input_names():
        message = f"{label} has no signature that names its columns. {advice}"
        raise ModelSignatureError(message)
    types = {str(column.name): str(getattr(column.type, "name", column.type)) for column in inputs}
    odd = [f"{name} ({kind})" for name, kind in types.items() if kind not in _COLUMN_TYPES]
    if odd:
        message = f"{label} has a signature with columns that are neither numbers nor texts: {', '.join(odd)}. {advice}"
        raise ModelSignatureError(message)
    return types
