"""From an offline store to an online store, in record batches.

`engine` is for feature_store.yaml; it takes `record_batches` of a retrieval job and hands them to a `sink`. `ranges`
materializes so that the registry remembers what was brought, which `intervals` reads there.
"""
