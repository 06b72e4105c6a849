"""What requests for a model have to have, and what they can ask for: of the loaded model and its feature repo."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from driver_ranking.errors import UnservableInputError
from driver_ranking.model_columns import require_fitting_types
from driver_ranking.model_features import ModelFeatures
from driver_ranking.model_version import RegisteredModel

if TYPE_CHECKING:
    from feast.types import FeastType

SCORE, STATUS, FEATURE_AGE = "score", "status", "feature_age"

DRIVER: Final = "driver_id"
"""The key of what is ranked where several would do, and the one whose candidates are called drivers."""

MOST_INPUTS: Final = 500
"""How many inputs a request may have: what a model takes more of can't be asked for."""

DTYPES: Final[Mapping[str, type[np.generic]]] = {
    "FP64": np.float64,
    "FP32": np.float32,
    "INT64": np.int64,
    "INT32": np.int32,
    "BOOL": np.bool_,
    "BYTES": np.object_,
}
"""What holds the values of a datatype; texts and bytes are objects."""

_OF_COLUMNS: Final = {
    "double": "FP64",
    "float": "FP32",
    "long": "INT64",
    "integer": "INT32",
    "boolean": "BOOL",
    "string": "BYTES",
    "binary": "BYTES",
}
_OF_KEYS: Final = {"Int64": "INT64", "Int32": "INT32", "String": "BYTES", "Bytes": "BYTES"}
# an on-demand view is given what a request has: neither Feast nor a batch run rounds it to what the view declares
_OF_REQUESTS: Final = {"Float64": "FP64", "Float32": "FP64", "Bool": "BOOL"} | _OF_KEYS
# of one name, values of the narrower type are what both can be given, as a batch run has it: which type in a signature
# narrows which of the feature repo, and to what
_NARROWED: Final = {("Float64", "float"): "FP32", ("Float32", "float"): "FP32", ("Int64", "integer"): "INT32"}
_LONGEST_SHOWN = 60  # characters of a text in a message


@dataclass(frozen=True)
class Input:
    """One input of a request.

    Attributes:
        name: Its name.
        datatype: Its datatype in the V2 inference protocol: INT64, INT32, FP64, FP32, BOOL or BYTES.
        is_text: Whether what is BYTES is a text, in UTF-8, rather than any bytes.
    """

    name: str
    datatype: str
    is_text: bool = True


@dataclass(frozen=True)
class RankingContract:
    """The inputs and outputs of a model that ranks.

    Attributes:
        candidate: The key of what is ranked, ``[n]``.
        keys: The other keys, ``[1]`` where all candidates have one, or ``[n]``.
        request: The features that come with the request, ``[1]`` or ``[n]``, whose values may be missing.
        features: The datatypes of the model's features, by name: each can be asked for as an output.
        optional: Which of the request features may be left out: a default stands for each, no view computes from it.
    """

    candidate: Input
    keys: tuple[Input, ...] = ()
    request: tuple[Input, ...] = ()
    features: Mapping[str, str] = field(default_factory=dict)
    optional: tuple[str, ...] = ()

    @property
    def inputs(self) -> dict[str, Input]:
        """Return all inputs by name, the candidates first."""
        return {one.name: one for one in (self.candidate, *self.keys, *self.request)}

    @property
    def required(self) -> tuple[str, ...]:
        """Return the names of the inputs that each request has, the candidates first."""
        return tuple(name for name in self.inputs if name not in self.optional)

    @property
    def is_integers(self) -> bool:
        """Return whether requests have nothing but integers that name the candidates."""
        return not self.keys and not self.request and self.candidate.datatype != "BYTES"

    def has_inputs_of(self, other: "RankingContract | None") -> bool:
        """Return whether what was checked against another contract, if any, means the same by this one."""
        if other is None or list(self.inputs.values()) != list(other.inputs.values()):
            return False
        return self.optional == other.optional

    @property
    def noun(self) -> str:
        """Return what messages call a candidate."""
        return "driver" if self.candidate.name == DRIVER else self.candidate.name

    @property
    def excluded(self) -> str:
        """Return the name of the output that has the candidates that could not be ranked."""
        return f"excluded_{self.candidate.name}"

    @property
    def default_outputs(self) -> tuple[str, ...]:
        """Return the outputs of a request that names none."""
        return self.candidate.name, SCORE, self.excluded

    @property
    def outputs(self) -> dict[str, str]:
        """Return the datatypes of all outputs by name; those of ``default_outputs`` first, then what explains them.

        Of the rest each has a value for each ranked candidate, ``[k]``: ``status`` is ``ok`` or ``defaulted``,
        ``feature_age`` the age of the oldest feature row that was used, in seconds, and a feature's name gives what
        the model saw. A feature that has the name of another output can't be asked for.
        """
        key, kind = self.candidate.name, self.candidate.datatype
        own = {key: kind, SCORE: "FP64", self.excluded: kind, STATUS: "BYTES", FEATURE_AGE: "FP64"}
        return own | {name: datatype for name, datatype in self.features.items() if name not in own}


def contract_of(
    model: RegisteredModel,
    features: ModelFeatures,
    keys: "Mapping[str, FeastType]",
    request: "Mapping[str, FeastType]",
) -> RankingContract:
    """Return what requests for a model have to have.

    What is wanted for several ends under one name is one input: a key that is a feature too, or what a view computes
    from and the model takes as well. Its type is then the one that the feature repo declares, of request features the
    narrower one.

    Args:
        model: The model.
        features: Where its features come from.
        keys: The keys by which its stored features are read, with the types that the feature repo declares.
        request: What on-demand feature views compute from besides, likewise.

    Raises:
        UnservableInputError: What is ranked can't be told, a type can't be sent, a name stands for two things, or there
            are more inputs than a request may have.
        ModelSignatureError: A column of the signature can't hold exactly what the feature repo declares by its name.
    """
    candidate = _candidate(model, keys)
    _require_distinct(features, keys, request)
    declared = {**keys, **request}
    _require_fitting(model, {name: str(declared[name]) for name in features.requested if name in declared})
    inputs = {name: _input(name, kind, _OF_KEYS, "The join key") for name, kind in keys.items()}
    asked = {
        name: Input(name, _OF_COLUMNS[model.types[name]], model.types[name] != "binary") for name in features.requested
    }
    for name, kind in request.items():
        one = _input(name, kind, _OF_REQUESTS, "The request feature")
        asked[name] = replace(one, datatype=_NARROWED.get((str(kind), model.types.get(name, "")), one.datatype))
    _require_few(model, len(inputs.keys() | asked.keys()))
    return RankingContract(
        inputs[candidate],
        tuple(one for name, one in inputs.items() if name != candidate),
        tuple(one for name, one in asked.items() if name not in keys),
        {name: _OF_COLUMNS[kind] for name, kind in model.types.items()},
        tuple(name for name in model.optional_columns if name not in declared),
    )


def _candidate(model: RegisteredModel, keys: "Mapping[str, FeastType]") -> str:
    """Return the key of what is ranked."""
    has = f"the join keys of its features are {', '.join(map(repr, keys)) or 'none'}"
    wanted = model.candidate_key
    if wanted is None:
        wanted = next(iter(keys)) if len(keys) == 1 else DRIVER
        fault = f"The {model.label} has no tag 'candidate_key' that says which of its keys is ranked; {has}."
    else:
        fault = f"The tag 'candidate_key' of the {model.label} is {wanted!r}, but {has}."
    if wanted not in keys:
        message = f"{fault} Set the tag to one of them."
        raise UnservableInputError(message)
    if wanted in {SCORE, STATUS, FEATURE_AGE}:
        message = (
            f"The join key {wanted!r} can't name what is ranked: answers have another output of this name. Rename it."
        )
        raise UnservableInputError(message)
    return wanted


def _require_distinct(features: ModelFeatures, *inputs: "Mapping[str, FeastType]") -> None:
    """Refuse what has to come with a request and is stored too: which of them counts could not be told."""
    twice = [name for some in inputs for name in some if name in features.service.columns]
    if twice:
        message = (
            f"{twice[0]!r} is a feature that the feature service {features.service.service.name!r} offers, and also a "
            f"join key or a request feature (`RequestSource`). Rename one of them."
        )
        raise UnservableInputError(message)


def _require_fitting(model: RegisteredModel, declared: Mapping[str, str]) -> None:
    kinds = {name: model.types[name] for name, kind in declared.items() if (kind, model.types[name]) not in _NARROWED}
    require_fitting_types(replace(model, feature_names=tuple(kinds), feature_types=tuple(kinds.values())), declared)


def _require_few(model: RegisteredModel, count: int) -> None:
    if count > MOST_INPUTS:
        message = (
            f"The {model.label} takes {count} inputs of a request, keys and request features; at most {MOST_INPUTS} "
            f"are taken. Let a feature view offer some of them."
        )
        raise UnservableInputError(message)


def _input(name: str, kind: "FeastType", datatypes: Mapping[str, str], what: str) -> Input:
    if str(kind) not in datatypes:
        message = (
            f"{what} {name!r} is {kind} in the feature repo, which no request can have: it must be "
            f"{', '.join(sorted(datatypes))}."
        )
        raise UnservableInputError(message)
    return Input(name, datatypes[str(kind)], str(kind) != "Bytes")


def shown(value: Any) -> str:  # noqa: ANN401 - a candidate or a value of a request
    """Return how a message shows a value of a client's: on one line, and not at any length."""
    if not isinstance(value, str | bytes):
        return str(value)
    return repr(value[:_LONGEST_SHOWN]) + ("..." if len(value) > _LONGEST_SHOWN else "")


def listed(candidates: Any, most: int = 10) -> str:  # noqa: ANN401 - an array of any type
    """Return how a message names candidates ``[n]``, the first of them if they are many."""
    return ", ".join(map(shown, candidates[:most].tolist())) + (", ..." if len(candidates) > most else "")
