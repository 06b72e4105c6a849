"""The ledger of materializations: what was brought to an online store, when, from what, and by whom.

`entries` says what is known of a materialization, `files` keeps entries whole, `books` appends, reads and removes them,
`recording` is what the engine and the stores call, and `history` answers where an online row came from.
"""
