"""REST: a request's way from the socket to the data plane and back.

- ``listener``: uvicorn's server, which takes connections and looks after them
- ``connection``: the bytes of a connection become requests, within ``limits``
- ``shortcut``: a request to infer goes straight on; it may, as nothing in between would do more for it
- ``body``: its body is read and unpacked, or refused
- ``infer``: body and headers become a request by ``protocol``, go to the data plane, and its answer becomes a body

All other requests go from ``shortcut`` through ``manners`` (HEAD, encodings, foreign web pages) into the application
that ``application`` adapts. It reads bodies by ``body`` too, and has routes to ``endpoints`` (health, models,
repository), with ``openapi`` (made of ``schemas`` and ``examples``) and ``docs_page`` for the pages. ``answers`` is the
form of its answers and errors, ``plain`` that of ``POST /inference``, which the runtime takes itself.
"""
