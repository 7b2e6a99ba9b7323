"""Messages behind a length, taken off a chunk and encoded, compiled: a fifth of what the same takes in Python."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.string cimport memcpy

__all__ = ["LengthEncoder", "take_messages"]


def take_messages(bytes data not None, int width, bint big, unsigned long long counted, unsigned long long longest):
    """The messages that are whole in a chunk which begins with one, and where the first stands that is not.

    Args:
        data: The chunk.
        width: Bytes of a length: 1, 2, 4 or 8.
        big: Whether its first byte counts most.
        counted: Bytes of the header that it counts, too.
        longest: The largest length that is allowed; at one that is larger, or below ``counted``, it stops as well.
    """
    cdef const unsigned char *start = <const unsigned char *>PyBytes_AS_STRING(data)
    cdef Py_ssize_t end = PyBytes_GET_SIZE(data), position = 0, size
    cdef unsigned long long length
    cdef list messages = []
    while end - position >= width:
        length = _read(start + position, width, big)
        if length < counted or length > longest:
            break
        length -= counted
        if length > <unsigned long long>(end - position - width):
            break
        size = <Py_ssize_t>length
        position += width
        messages.append(PyBytes_FromStringAndSize(<const char *>start + position, size))
        position += size
    return messages, position


cdef unsigned long long _read(const unsigned char *at, int width, bint big) noexcept:
    cdef unsigned long long number = 0
    cdef int index
    for index in range(width):
        number = number << 8 | at[index if big else width - 1 - index]
    return number


cdef class LengthEncoder:
    """Encodes messages behind their length.

    Args:
        width: Bytes of a length: 1, 2, 4 or 8.
        big: Whether its first byte counts most.
        counted: Bytes of the header that it counts, too.
        max_size: Longest message, bytes; no more than ``width`` bytes can say.
        otherwise: Called with what is no ``bytes``, or is longer; it knows what to say.
    """

    cdef int _width
    cdef bint _big
    cdef unsigned long long _counted
    cdef Py_ssize_t _max_size
    cdef object _otherwise

    def __init__(self, int width, bint big, unsigned long long counted, Py_ssize_t max_size, otherwise):
        self._width, self._big, self._counted, self._max_size = width, big, counted, max_size
        self._otherwise = otherwise

    def encode(self, message):
        """The length and the message; whatever ``otherwise`` raises."""
        cdef Py_ssize_t size
        cdef unsigned long long length
        cdef unsigned char *at
        cdef int index
        if not PyBytes_CheckExact(message):
            return self._otherwise(message)
        size = PyBytes_GET_SIZE(message)
        if size > self._max_size:
            return self._otherwise(message)
        cdef bytes encoded = PyBytes_FromStringAndSize(NULL, self._width + size)
        at = <unsigned char *>PyBytes_AS_STRING(encoded)
        length = <unsigned long long>size + self._counted
        for index in range(self._width):
            at[self._width - 1 - index if self._big else index] = <unsigned char>(length & 0xFF)
            length >>= 8
        memcpy(at + self._width, PyBytes_AS_STRING(message), size)
        return encoded
