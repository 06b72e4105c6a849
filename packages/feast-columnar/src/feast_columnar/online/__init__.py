"""Online stores, written and read by the column.

`reader` reads features of keys, and `feast_columnar.materialization` writes them, both by way of `stores`, which finds
the fastest correct way for a configured store. Each layout has one home, where it is written and read: `redis`,
`sqlite`, and `stock` for any other store. Below them is what they share: `batches` are written and `views` read, in
Feast's bytes, which are those of `keys`, `values` and `times`.

`sqlite_store` and `redis_store` are stores for feature_store.yaml; `sqlite_file` and `redis_wire` have the connections.
"""
