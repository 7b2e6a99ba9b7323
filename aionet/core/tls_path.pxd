# What tls_path.py is compiled with: its classes' attributes are C's, and their own calls are C calls.

cimport cython


cdef int _HANDSHAKE, _OPEN, _CLOSING
cdef Py_ssize_t _RECORD, _TAKE_AT


cdef class TLSBuffers:
    cdef public object chunk, incoming, outgoing, owner
    cdef object _put, _read
    cdef list _taken

    cpdef take(self)
    cpdef set_aside(self)
    cpdef interrupt(self)
    cpdef give_back(self, owner, rest)


cdef class TLSPath:
    cdef public object _decrypt, _deliver, _encrypt, _exc, _protocol, _raw, _ssl
    cdef public TLSBuffers _buffers
    cdef public bint _eof, _partial, _said_all
    cdef public int _state

    @cython.locals(buffers=TLSBuffers)
    cdef _shake_hands(self, data)
    @cython.locals(buffers=TLSBuffers, several=list)
    cdef _read(self, data, Py_ssize_t size)
    cpdef data_received(self, data)
    @cython.locals(buffers=TLSBuffers, done=Py_ssize_t)
    cpdef write(self, data)
    @cython.locals(buffers=TLSBuffers)
    cdef _write_much(self, data, Py_ssize_t done)
    @cython.locals(buffers=TLSBuffers)
    cpdef _say_close_notify(self)
    cdef _meet(self, failure)
