"""gRPC: a call's way from the socket to the data plane and back.

- ``server``: MLServer's gRPC server, which takes calls; ``health`` answers those of ``grpc.health.v1``
- ``counting``: each call is counted, also one that never reaches a method, and its bytes become a message
- ``servicer``: the methods, within ``statuses``, which turns an error into a status of gRPC
- ``messages``: a message becomes a request by ``protocol``, and the data plane's answer becomes a message
"""
