"""Parity: what was answered online, compared with the feature store as it is known now, and why it differs.

`answers` reads the prediction log in chunks of whole answers. `sides` says what a feature service reads, `brought` and
`joining` join it again by DuckDB: as of the materialization that each row came from, and as of the read. `rows` and
`causes` compare, `scores` scores and ranks again, `decisions` says what a difference has done to the answers, `faults`
names what nothing explains. `tallies` adds all of it up in bounded memory, and `comparing` puts it together.
"""
