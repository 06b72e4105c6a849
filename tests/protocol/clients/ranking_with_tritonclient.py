"""Ask for rankings of any contract with tritonclient: `ranking_with_tritonclient.py http|grpc ADDRESS REQUESTS`.

REQUESTS is a file with the requests as JSON over REST would have them, in a list.
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from asked import MODEL, show, shown_error
from tritonclient.utils import InferenceServerException, triton_to_np_dtype


def _ask(name: str, address: str, requests: str) -> dict[str, Any]:
    library: Any = importlib.import_module(f"tritonclient.{name}")
    client = library.InferenceServerClient(address)
    described = client.get_model_metadata(MODEL, **({} if name == "http" else {"as_json": True}))
    asked = json.loads(Path(requests).read_text(encoding="utf-8"))
    answers = [_answer(library, client, request) for request in asked]
    client.close()
    return {"model": described, "answers": answers}


def _answer(library: Any, client: Any, request: dict[str, Any]) -> dict[str, Any]:
    tensors = []
    for one in request["inputs"]:
        tensor = library.InferInput(one["name"], one["shape"], one["datatype"])
        tensor.set_data_from_numpy(np.array(one["data"], triton_to_np_dtype(one["datatype"])))
        tensors.append(tensor)
    outputs = [library.InferRequestedOutput(one["name"]) for one in request["outputs"]]
    try:
        result = client.infer(MODEL, tensors, outputs=outputs, parameters=request["parameters"])
    except InferenceServerException as error:
        return shown_error(error, error.status(), error.message())
    return {one["name"]: _plain(result.as_numpy(one["name"])) for one in request["outputs"]}


def _plain(values: Any) -> list[Any]:
    return [value.decode() if isinstance(value, bytes) else value for value in values.tolist()]


if __name__ == "__main__":
    show(_ask(*sys.argv[1:]))
