"""What a coroutine awaits of its connection, compiled: ``receive``, ``async for`` and ``send``, call by call.

A coroutine of Python's has a frame, which is made, entered and left for each message, even where nothing is to be
waited for, as nearly always. Here a call is a small object that answers each step itself, by the slot that CPython
steps awaitables by (``am_send``): with a message, or with the future of one. It goes on as a coroutine only where a peer
does not read.

What can be seen of it is what ``awaiting.py`` does, and ``OutboundConnection.send``.
"""

cimport cython
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF, Py_XDECREF

from .message_path cimport MessagePath

import warnings

from anyio import BusyResourceError, EndOfStream, WouldBlock

from .flow import OutboundConnection, nowhere
from .message_path import CLOSING

cdef extern from *:
    """
    /* Cython has no word for the slot, and gives every type that has __await__ the table it is in. */
    static void answer_steps(PyObject *type, sendfunc step) { ((PyTypeObject *)type)->tp_as_async->am_send = step; }
    """
    ctypedef enum PySendResult:
        PYGEN_RETURN, PYGEN_ERROR, PYGEN_NEXT
    ctypedef PySendResult (*sendfunc)(PyObject *, PyObject *, PyObject **) except PYGEN_ERROR
    PySendResult PyIter_Send(PyObject *iterator, PyObject *value, PyObject **result) except PYGEN_ERROR
    void answer_steps(object type, sendfunc step)

__all__ = ["Awaiting"]

cdef enum Kind:
    RECEIVE, NEXT, SEND

cdef dict _NAMES = {RECEIVE: "receive", NEXT: "__anext__", SEND: "send"}
cdef object _nowhere = nowhere
cdef int _CLOSING = CLOSING


@cython.final
@cython.freelist(64)
cdef class _Call:
    """A call of one of them: what ``collections.abc.Coroutine`` asks for, and is a coroutine everywhere but for its type."""

    cdef MessagePath _conn    # whose; None once the call is over
    cdef object _item         # to be sent
    cdef object _future       # done when it is time to look for a message again
    cdef object _coroutine    # which waits for a peer that does not read
    cdef Kind _kind

    def __await__(self):
        return self

    def __iter__(self):
        return self

    def __next__(self):
        return self.send(None)

    def send(self, value):
        cdef PyObject *result = NULL
        cdef PySendResult status = _step(<PyObject *>self, <PyObject *>value, &result)
        got = <object>result
        Py_XDECREF(result)
        if status == PYGEN_RETURN:
            raise StopIteration(got)
        return got

    def throw(self, kind, value=None, traceback=None):
        exc = kind if isinstance(kind, BaseException) else value if isinstance(value, BaseException) else (
            kind() if value is None else kind(value)
        )
        if traceback is not None:
            exc = exc.with_traceback(traceback)
        if self._conn is None:
            raise RuntimeError("cannot reuse already awaited coroutine")
        if self._coroutine is None:
            self._end()
            raise exc
        try:
            return self._coroutine.throw(exc)
        except BaseException:
            self._end()
            raise

    def close(self):
        coroutine = self._coroutine
        if coroutine is not None:
            coroutine.close()  # raises where it goes on all the same
        self._end()

    def __dealloc__(self):  # __del__ would be called once for all that have this place in the free list
        if self._conn is None or self._coroutine is not None:
            return
        if self._future is not None:
            self._stop_waiting()
        else:
            warnings.warn(f"coroutine 'Connection.{_NAMES[self._kind]}' was never awaited", RuntimeWarning)

    def __repr__(self):
        return f"<coroutine {self.__qualname__}>"

    cdef void _stop_waiting(self) noexcept:
        if self._conn._receiver is self._future:
            self._conn._receiver = None
        self._future = None

    cdef void _end(self) noexcept:
        if self._future is not None:
            self._stop_waiting()
        self._conn = None
        self._item = self._coroutine = None

    # ---- what asyncio, anyio and debuggers look at ------------------------------------------------

    @property
    def __name__(self):
        return _NAMES[self._kind]

    @property
    def __qualname__(self):
        return f"Connection.{_NAMES[self._kind]}"

    @property
    def cr_running(self):
        return self._coroutine is not None and self._coroutine.cr_running

    @property
    def cr_suspended(self):
        return self.cr_await is not None and not self.cr_running

    @property
    def cr_await(self):
        return self._coroutine if self._future is None else self._future

    @property
    def cr_frame(self):
        return None if self._coroutine is None else self._coroutine.cr_frame


cdef PySendResult _step(PyObject *raw, PyObject *value, PyObject **result) except PYGEN_ERROR:
    """Go on until it must wait, or is over: the slot ``am_send``."""
    cdef _Call call = <_Call>raw
    if call._coroutine is not None:
        return _go_on(call, value, result)
    if call._future is not None:
        call._stop_waiting()
    elif call._conn is None:
        raise RuntimeError("cannot reuse already awaited coroutine")
    elif <object>value is not None:
        raise TypeError("can't send non-None value to a just-started coroutine")
    elif call._kind == SEND:
        return _send(call, value, result)
    elif call._conn._receiver is not None:
        call._end()
        raise BusyResourceError("receiving")
    return _take(call, result)


cdef PySendResult _take(_Call call, PyObject **result) except PYGEN_ERROR:
    """The next message; a future that is done when it is time to look again; or why there will be none."""
    cdef MessagePath conn = call._conn
    cdef object found
    if len(conn._inbox):
        call._end()
        found = conn._take()
        Py_INCREF(found)
        result[0] = <PyObject *>found
        return PYGEN_RETURN
    if conn._ended:
        call._end()
        try:
            conn._raise_end()
        except EndOfStream:
            if call._kind != NEXT:
                raise
        raise StopAsyncIteration
    found = conn._receiver = call._future = conn._context.loop.create_future()
    found._asyncio_future_blocking = True  # as its own __await__ does: so a task knows that it is meant
    Py_INCREF(found)
    result[0] = <PyObject *>found
    return PYGEN_NEXT


cdef PySendResult _send(_Call call, PyObject *value, PyObject **result) except PYGEN_ERROR:
    cdef MessagePath conn = call._conn
    cdef object item = call._item
    cdef long long sent
    call._end()
    if conn._held & _CLOSING or conn._transport_write is _nowhere:
        call._coroutine = OutboundConnection.send(conn, item)  # which says why not
    else:
        sent = conn.bytes_sent
        conn.write(item)
        if not conn._congested and conn.bytes_sent == sent:
            Py_INCREF(None)
            result[0] = <PyObject *>None
            return PYGEN_RETURN
        call._coroutine = conn._until_room()
    call._conn = conn
    return _go_on(call, value, result)


cdef PySendResult _go_on(_Call call, PyObject *value, PyObject **result) except PYGEN_ERROR:
    cdef PySendResult status
    coroutine = call._coroutine  # a reference of our own: the call may be closed meanwhile
    try:
        status = PyIter_Send(<PyObject *>coroutine, value, result)
    except BaseException:
        call._end()
        raise
    if status == PYGEN_RETURN:
        call._end()
    return status


answer_steps(_Call, _step)


cdef _Call _call(MessagePath conn, Kind kind, object item):
    cdef _Call call = _Call.__new__(_Call)
    call._conn, call._kind, call._item = conn, kind, item
    return call


cdef class Awaiting:
    """The base of connections that a coroutine reads, before :class:`MessagePath`. It has no fields of its own, so
    that both can be bases."""

    def receive(self):
        return _call(<MessagePath?><object>self, RECEIVE, None)

    def receive_nowait(self):
        cdef MessagePath conn = <MessagePath?><object>self
        if not len(conn._inbox) or conn._receiver is not None:
            raise WouldBlock
        return conn._take()

    def __aiter__(self):
        return self

    def __anext__(self):
        return _call(<MessagePath?><object>self, NEXT, None)

    def send(self, item):
        return _call(<MessagePath?><object>self, SEND, item)
