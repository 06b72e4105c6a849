"""Kedro datasets for the feature store, the registered model, entity rows and streamed Parquet."""
