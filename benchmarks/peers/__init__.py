"""Servers that are measured, ours and others', each a program of its own: ``python -m benchmarks.peers.NAME --port N``.

Each is written as a good user of its library would write it. They share :mod:`benchmarks.peers.common`, so that
all have the same socket options, backlog and event loop, and none logs.
"""
