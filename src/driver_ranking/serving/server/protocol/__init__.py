"""The V2 inference protocol: what a request may say and what an answer says, however it is sent.

- ``headers``: what may come with a body, and go with one
- ``binary_tensors``: a REST body is divided into JSON and bytes
- ``tensor_bytes``: such bytes, and those of gRPC, become values
- ``json_body``: the JSON is read, part by part
- ``payload``: what it says becomes a request in MLServer's type; what gRPC's messages say does so as well
- ``requests``: the runtime checks it by the ``rules`` of its model, its ``inputs`` one by one, whose values become
  ``columns``, and has what ``RankingService.rank`` takes
- ``answers``: the ranking becomes an answer; ``binary_tensors`` makes bytes of it where they were asked for
"""
