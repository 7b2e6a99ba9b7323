# What message_path.py is compiled with: its class's attributes are C's, and its own calls are C calls.

cimport cython


cdef int _BATCHES, _CHUNKS, _CLOSING
cdef Py_ssize_t _FLUSH_AT


cdef class MessagePath:
    cdef public object _codec, _context, _deadlines, _encode, _feed, _inbox, _on_message, _receiver, _transport_write
    cdef public bint _batches, _batching, _congested, _corked, _dirty
    cdef public list _groups, _out
    cdef public double _heard_at, _partial_at
    cdef public int _held, _takes
    cdef public Py_ssize_t _room
    cdef public long long _inbox_mark, bytes_received, bytes_sent, messages_dropped, messages_received, messages_sent

    cpdef _take(self)
    cpdef write(self, message)
    cpdef _put(self, data)
    cpdef enqueue(self, data)
    cpdef flush_tick(self)
    @cython.locals(conn=MessagePath)
    cpdef flush_turns(self, shared)
    cpdef _end_batch(self)
    cpdef _flush(self)
    cpdef send_now(self, data)


@cython.locals(conn=MessagePath, others=list, allowance=Py_ssize_t, left=Py_ssize_t)
cpdef list send_to_all(shared, members, data, Py_ssize_t count)
