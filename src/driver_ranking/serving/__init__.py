"""Online serving: driver ids in, the best drivers out, over the V2 inference protocol.

Files of users name three modules:

- ``repository``: settings.json names it, MLServer makes it first, and it puts the parts of ``server`` into MLServer
- ``runtime``: model-settings.json names it; it stands between ``server`` and the service
- ``healthcheck``: containers run it

``server`` is what extends MLServer and speaks. All else is the service, which knows no server. A request goes through

- ``service``: ``RankingService.rank`` is given a ``query``, which fits the model's ``contract``; it also watches over
  all of the following
- ``coalescing``: requests that wait become one batch
- ``champion``: the features of the batch are read, with their ages; ``request_features`` come with it
- ``predicting``: the model scores it, in ``threads`` where it could do harm

and on its way back through ``service`` again, where each request's candidates are ranked. Beside the way are

- ``loading`` and ``trial``: how a model becomes the champion
- ``prediction_log``: takes each answer, and writes it down elsewhere
- ``store_watch``: whether the store can be read
- ``fault_log``, ``metrics``: what the log and Prometheus are told, by ``server`` too
- ``settings``, ``memory``: what both sides are set to, and give back
"""
