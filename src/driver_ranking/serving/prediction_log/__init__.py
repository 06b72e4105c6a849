"""The service's part of the prediction log: what takes each answer, off the path of requests.

- ``entries``: what is kept of a batch and of an answer until it is written: references, nothing is copied
- ``log``: the queue between the event loop, which puts answers in and never waits, and
- ``writer``: the thread that makes ``rows`` of them, in large batches, and appends these to files in the spool
- ``filing``: the thread that makes Parquet files of these, takes up what other processes left, and removes the old
- ``metrics``: what Prometheus is told of it
"""
