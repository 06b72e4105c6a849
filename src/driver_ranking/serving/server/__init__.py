"""What extends MLServer, from the socket to the runtime and back.

- ``extension`` puts the classes of this folder in the place of MLServer's
- ``process`` begins and ends the process: ``workable`` refuses settings first, ``ending`` ends what hangs at last

A request goes through

- ``rest`` or ``grpc``, which read it as ``protocol`` has it
- ``data_plane``, where both meet: it finds the model, counts, and asks ``driver_ranking.serving.runtime``
- ``protocol`` again, by which the runtime checks the request before it calls the service, and puts the answer together
- ``rest`` or ``grpc``, which send that, or what ``failures`` has made of an error

Orders to load and unload go through ``repository_handlers`` instead.
"""
