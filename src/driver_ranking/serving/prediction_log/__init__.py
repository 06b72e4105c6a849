"""The service's part of the prediction log: what takes each answer, off the path of requests.

- ``entries``: what is kept of a batch and of an answer until it is written: references, nothing is copied
- ``answer_queue``: between the event loop, which puts answers in and never waits, and
- ``writer``: the thread that makes frames of them (``compaction``) and appends these to files in the spool
- ``filing``: starts the process that makes Parquet files of those
- ``log``: all of it, as the service knows it
- ``metrics``: what Prometheus is told of it
"""
