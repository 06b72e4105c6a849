"""What happens around every run: inputs are checked before the first node does any work."""

from typing import Any, Protocol, runtime_checkable

from kedro.framework.hooks import hook_impl
from kedro.io import CatalogProtocol
from kedro.pipeline import Pipeline


@runtime_checkable
class ChecksItself(Protocol):
    """A dataset that can tell whether it is fit for use."""

    def check(self) -> None:
        """Raise an error if it is not."""
        ...


class CheckInputs:
    """Checks the inputs of a run that can be checked, so that a bad one stops it before anything is changed."""

    @hook_impl
    def before_pipeline_run(self, pipeline: Pipeline, catalog: CatalogProtocol[Any, Any]) -> None:
        """Check the inputs that no node of this run makes."""
        for name in sorted(pipeline.inputs()):
            dataset = catalog.get(name)
            if isinstance(dataset, ChecksItself):
                dataset.check()
