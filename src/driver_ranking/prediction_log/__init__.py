"""The prediction log: what the online service answered, a row for each candidate, in Feast's own layout of logs.

What the rows are, where they are and how they are read is here, for whoever writes or reads them. The service's part,
which is off the path of requests, is ``serving.prediction_log``.
"""
