"""What happens around every run: inputs are checked first, and a model that fails its validation ends it."""

from typing import Any, Protocol, runtime_checkable

from kedro.config import MissingConfigException, OmegaConfigLoader
from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.io import CatalogProtocol
from kedro.pipeline import Pipeline

from driver_ranking.errors import ModelValidationError
from driver_ranking.model import TrainedModel
from driver_ranking.pipelines.batch.nodes import check_request
from driver_ranking.pipelines.update_feature_store import CHECKED_FIRST
from driver_ranking.runtime_parameters import known_parameters, refuse_unknown
from driver_ranking.spark import configure

_BATCH_INPUTS = {"batch_request", "champion_model", "feature_definitions", "params:as_known_at"}


@runtime_checkable
class ChecksItself(Protocol):
    """A dataset that can tell whether it is fit for use."""

    def check(self) -> None:
        """Raise an error if it is not."""
        ...


class CheckParameters:
    """Refuses what is given by ``--params`` under a name that nothing reads, before anything else is done."""

    @hook_impl(tryfirst=True)
    def after_context_created(self, context: KedroContext) -> None:
        """Check the names.

        Raises:
            RequestError: The configuration knows no such parameter.
        """
        loader = context.config_loader
        if loader.runtime_params and isinstance(loader, OmegaConfigLoader):
            refuse_unknown(loader.runtime_params, known_parameters(loader))


class ConfigureSpark:
    """Hands ``spark.yml`` of the environment over, where there is one; Spark starts when a dataset needs it."""

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Take the settings, and refuse what can't work before the catalog is made.

        Raises:
            SparkError: The extra is not installed, or a setting is not known.
        """
        try:
            settings = context.config_loader["spark"]
        except MissingConfigException:
            return
        configure(settings)


class EndAfterFailedValidation:
    """Ends a run whose trained model did not pass its validation, once it is logged, whatever runner the run has."""

    @hook_impl
    def after_dataset_saved(self, data: object) -> None:
        """Refuse to go on without a new model.

        Raises:
            ModelValidationError: The model that was saved is not registered.
        """
        if isinstance(data, TrainedModel) and data.problems:
            message = f"The model failed its validation and is not registered. {' '.join(data.problems)}"
            raise ModelValidationError(message)


class CheckInputs:
    """Checks the inputs of a run that can be checked, so that a bad one stops it before anything is changed."""

    @hook_impl
    def before_pipeline_run(self, pipeline: Pipeline, catalog: CatalogProtocol[Any, Any]) -> None:
        """Check the inputs of nodes tagged so that no node of this run makes, and whether they fit together."""
        checked = pipeline.only_nodes_with_tags(CHECKED_FIRST).all_inputs()
        for name in sorted(pipeline.inputs() & checked):
            dataset = catalog.get(name)
            if isinstance(dataset, ChecksItself):
                dataset.check()
        if pipeline.inputs() >= _BATCH_INPUTS:
            check_request(*(catalog.load(name) for name in sorted(_BATCH_INPUTS)))
