"""From an offline store to an online store, in record batches."""
