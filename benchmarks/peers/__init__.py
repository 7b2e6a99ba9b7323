"""Servers that are measured, ours and others', each a program of its own: ``python -m benchmarks.peers.NAME --port N``.

Each is written as a good user of its library or language would write it, with the batching that one would have. The
Python ones share :mod:`benchmarks.peers.common`: the same socket options, backlog and event loop; none logs. Every one
listens on 127.0.0.1, prints ``ready 127.0.0.1:PORT`` once it does, and serves until it is ended.
"""
