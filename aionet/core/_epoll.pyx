# cython: auto_pickle=False
"""Sockets of one event loop in one epoll set of our own, which that loop watches as a single descriptor (Linux).

Why not the loop's own transports: what stands between the system call and the protocol is most of what a small message
costs. Here a chunk is one ``recv``, one call of the protocol, and one ``send`` at once; echo of 64 bytes costs as much
CPU as the same in C, on uvloop and on asyncio alike, and a transport has a fifth of the memory.

A transport does what ``asyncio.Transport`` documents. Events are level-triggered and name descriptors, never objects:
one that is late finds nothing there, or finds a newer socket not ready, which is harmless.
"""

import asyncio
import errno as errnos
import os
import socket
import warnings
from asyncio.trsock import TransportSocket
from contextvars import Context, copy_context

from cpython.buffer cimport PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.errno cimport EAGAIN, EBADF, EINTR, ENOBUFS, errno
from libc.string cimport memset
from posix.unistd cimport close as close_descriptor

cdef extern from "Python.h":
    int PyContext_Enter(object) except -1
    int PyContext_Exit(object) except -1

cdef extern from "sys/epoll.h" nogil:
    ctypedef union epoll_data_t:
        unsigned long long u64
        int fd
    struct epoll_event:
        unsigned int events
        epoll_data_t data
    int epoll_create1(int flags)
    int epoll_ctl(int epfd, int op, int fd, epoll_event *event)
    int epoll_wait(int epfd, epoll_event *events, int maxevents, int timeout)
    enum:
        EPOLL_CLOEXEC, EPOLL_CTL_ADD, EPOLL_CTL_MOD, EPOLL_CTL_DEL, EPOLLIN, EPOLLOUT, EPOLLERR, EPOLLHUP

cdef extern from "sys/uio.h" nogil:
    struct iovec:
        void *iov_base
        size_t iov_len

cdef extern from "sys/socket.h" nogil:
    struct sockaddr:
        unsigned short sa_family
    ctypedef unsigned int socklen_t
    struct sockaddr_storage:
        pass
    struct msghdr:
        iovec *msg_iov
        size_t msg_iovlen
    ssize_t recv(int fd, void *buffer, size_t size, int flags)
    ssize_t send(int fd, const void *buffer, size_t size, int flags)
    ssize_t sendmsg(int fd, const msghdr *message, int flags)
    int accept4(int fd, sockaddr *address, socklen_t *size, int flags)
    int getpeername(int fd, sockaddr *address, socklen_t *size)
    int getsockname(int fd, sockaddr *address, socklen_t *size)
    int setsockopt(int fd, int level, int name, const void *value, socklen_t size)
    int shutdown(int fd, int how)
    enum:
        AF_INET, AF_INET6, AF_UNIX, MSG_NOSIGNAL, SHUT_WR, SOCK_CLOEXEC, SOCK_NONBLOCK

cdef extern from "netinet/in.h" nogil:
    struct in_addr:
        unsigned int s_addr
    struct in6_addr:
        unsigned char s6_addr[16]
    struct sockaddr_in:
        unsigned short sin_port
        in_addr sin_addr
    struct sockaddr_in6:
        unsigned short sin6_family
        unsigned short sin6_port
        unsigned int sin6_flowinfo
        in6_addr sin6_addr
        unsigned int sin6_scope_id
    unsigned short ntohs(unsigned short)
    unsigned int ntohl(unsigned int)
    enum:
        IPPROTO_TCP

cdef extern from "netinet/tcp.h":
    enum:
        TCP_NODELAY

cdef extern from "sys/un.h" nogil:
    struct sockaddr_un:
        char sun_path[108]

cdef extern from "arpa/inet.h" nogil:
    const char *inet_ntop(int family, const void *source, char *target, socklen_t size)

__all__ = ["Acceptor", "Reactor", "SocketTransport"]

cdef enum:
    CHUNK = 64 * 1024  # bytes read at once: all small requests of a chunk become objects at once, many times its size
    EVENTS = 256       # taken from the kernel at once
    ACCEPTS = 64       # connections taken at once: those that are there must be served as well
    PARTS = 64         # of what waits to be sent, handed to one sendmsg
    HIGH_WATER = 64 * 1024  # as asyncio's
    ADDRESS = 28       # bytes of sockaddr_in6, the larger of the two that are kept

# Errors of accept(2) that are of the connection which would have come, not of the listening socket.
cdef frozenset _OF_ONE = frozenset({
    errnos.ECONNABORTED, errnos.EPROTO, errnos.ENETDOWN, errnos.ENOPROTOOPT, errnos.EHOSTDOWN, errnos.ENONET,
    errnos.EHOSTUNREACH, errnos.EOPNOTSUPP, errnos.ENETUNREACH, errnos.EPERM, errnos.ETIMEDOUT,
})
cdef double _RETRY_AFTER = 1.0  # seconds, where the system has run out of descriptors or memory; as asyncio

cdef char _scratch[CHUNK]  # read into, and copied from at once: never used across a call of anybody's code


cdef object _failure(int error):
    """What a system call failed by. Its number is passed, since ``errno`` outlives no call of Python."""
    return OSError(error, os.strerror(error))


cdef bint _for_now(int error):
    """Whether a send that failed so is to be tried again when the socket has room."""
    return error == EAGAIN or error == EINTR or error == ENOBUFS


cdef class _Watched:
    """A descriptor in the epoll set."""

    cdef Reactor _reactor
    cdef int _fd
    cdef unsigned int _armed   # what the kernel was asked to tell; 0: it is not in the set

    cdef void _ready(self, unsigned int events) except *:
        raise NotImplementedError

    cdef int _arm(self, unsigned int wanted) except -1:
        """Ask the kernel to tell of these events alone. Of none: it would still tell of hang-ups, for ever.

        To ask for none never fails: what the kernel does not know, it does not tell of.
        """
        cdef epoll_event event
        cdef int operation
        if wanted == self._armed:
            return 0
        operation = EPOLL_CTL_DEL if not wanted else EPOLL_CTL_MOD if self._armed else EPOLL_CTL_ADD
        event.events = wanted
        event.data.u64 = 0
        event.data.fd = self._fd
        if epoll_ctl(self._reactor._epoll, operation, self._fd, &event) < 0 and wanted:
            raise _failure(errno)
        self._armed = wanted
        return 0


cdef class Reactor:
    """The epoll set of one event loop."""

    cdef object __weakref__
    cdef readonly object loop
    cdef int _epoll
    cdef list _by_descriptor   # what is watched, at the index of its descriptor
    cdef Py_ssize_t _count
    cdef readonly long long events   # that were found, in all
    cdef readonly long long heard    # those by which somebody came, or had something to say

    def __cinit__(self):
        self._epoll = -1
        self._by_descriptor = []

    def __init__(self, loop):
        self.loop = loop

    def __dealloc__(self):
        if self._epoll >= 0:
            close_descriptor(self._epoll)

    def attach(self, sock, protocol):
        """Make the transport of a connected, non-blocking socket; it owns the socket from now on.

        ``protocol.connection_made`` is called before this returns.

        Raises:
            OSError: the system refused, or the socket is closed; it is left as it was.
        """
        cdef SocketTransport transport = SocketTransport.__new__(SocketTransport)
        cdef int descriptor = sock.fileno(), one = 1
        cdef socklen_t size = ADDRESS
        transport._sock = sock
        if sock.family in (socket.AF_INET, socket.AF_INET6):
            getpeername(descriptor, <sockaddr *>transport._peer, &size)
            setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one))
        transport._begin(self, descriptor, protocol)
        return transport

    def listen(self, sock, make_protocol):
        """Accept the connections of a listening socket, which stays the caller's.

        Args:
            make_protocol: Called for each connection; must not raise.
        """
        return Acceptor(self, sock, make_protocol)

    cdef int _add(self, _Watched watched) except -1:
        """Watch one more, for what can be read."""
        cdef list table = self._by_descriptor
        if watched._fd < 0:
            raise _failure(EBADF)
        if self._epoll < 0:
            self._open()
        while len(table) <= watched._fd:
            table.append(None)
        before = table[watched._fd]
        table[watched._fd] = watched
        self._count += 1
        try:
            watched._arm(EPOLLIN)
        except OSError:
            self._remove(watched)
            table[watched._fd] = before  # whose descriptor it is already, which the kernel says then
            raise
        return 0

    cdef int _open(self) except -1:
        self._epoll = epoll_create1(EPOLL_CLOEXEC)
        if self._epoll < 0:
            raise _failure(errno)
        try:
            # In a context of its own: else what serves all would keep, and hand on, that of whoever came first.
            Context().run(self.loop.add_reader, self._epoll, self._poll)
        except BaseException:
            close_descriptor(self._epoll)
            self._epoll = -1
            raise
        return 0

    cdef int _remove(self, _Watched watched) except -1:
        """It is watched no more; where it was the last, no descriptor of ours is left behind."""
        cdef int epoll = self._epoll
        self._by_descriptor[watched._fd] = None
        self._count -= 1
        if not self._count:
            self._epoll = -1
            try:
                if not self.loop.is_closed():
                    self.loop.remove_reader(epoll)
            finally:
                close_descriptor(epoll)
        return 0

    def _poll(self):
        """The loop has found the set ready."""
        cdef epoll_event events[EVENTS]
        cdef epoll_event *event
        cdef list table = self._by_descriptor
        cdef int index, count = epoll_wait(self._epoll, events, EVENTS, 0)
        cdef int descriptor
        cdef object found
        self.events += max(count, 0)
        for index in range(count):
            event = &events[index]
            descriptor = event.data.fd
            # The set of a process that was forked is its parent's as well, who may watch what has no place here.
            found = table[descriptor] if descriptor < len(table) else None
            if found is not None and (<_Watched>found)._armed:
                (<_Watched>found)._ready(event.events)


cdef class Acceptor(_Watched):
    """Accepts on one listening socket, from :meth:`start` on until :meth:`close`."""

    cdef object _sock
    cdef object _make
    cdef object _retry
    cdef object _context       # in which connections begin: that of whoever listens
    cdef object _own           # the name its connections have, unless that is another for each
    cdef bint _internet

    def __init__(self, Reactor reactor not None, sock, make_protocol):
        cdef int one = 1
        sock.setblocking(False)
        self._reactor = reactor
        self._sock = sock
        self._fd = sock.fileno()
        self._make = make_protocol
        self._context = copy_context()
        self._internet = sock.family in (socket.AF_INET, socket.AF_INET6)
        if self._internet:
            setsockopt(self._fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one))  # those accepted inherit it
        own = sock.getsockname()
        self._own = None if self._internet and own[0] in ("0.0.0.0", "::") else own

    def start(self):
        """Begin to accept. Raises OSError: the system refused, or the socket is closed."""
        if not self._armed:
            self._fd = self._sock.fileno()
            self._reactor._add(self)

    async def start_serving(self):
        """As :meth:`start`: as an ``asyncio.Server`` has it."""
        self.start()

    def close(self):
        """Accept no more; what comes waits in the socket's queue. Idempotent."""
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        if self._armed:
            self._arm(0)
            self._reactor._remove(self)

    cdef void _ready(self, unsigned int events) except *:
        cdef int left = ACCEPTS
        self._reactor.heard += 1
        PyContext_Enter(self._context)
        try:
            while left and self._armed and self._accept():
                left -= 1
        except OSError as exc:
            self._pause(exc)
        finally:
            PyContext_Exit(self._context)

    cdef bint _accept(self) except -1:
        """Take one connection. False: none is there. Raises OSError: the system has no room for one more."""
        cdef SocketTransport transport = SocketTransport.__new__(SocketTransport)
        cdef socklen_t size = ADDRESS
        cdef int descriptor = accept4(
            self._fd, <sockaddr *>transport._peer if self._internet else NULL, &size if self._internet else NULL,
            SOCK_NONBLOCK | SOCK_CLOEXEC,
        )
        cdef int error = errno
        if descriptor < 0:
            if error == EAGAIN:
                return False
            if error != EINTR and error not in _OF_ONE:
                raise _failure(error)
            return True
        transport._own = self._own
        try:
            transport._begin(self._reactor, descriptor, self._make())
        finally:
            if transport._fd < 0:  # it has not begun
                close_descriptor(descriptor)
        return True

    def _start_again(self):
        self._retry = None
        try:
            self.start()
        except OSError as exc:
            self._pause(exc)

    cdef int _pause(self, exc) except -1:
        """The system has no descriptor or no memory left: whoever leaves makes room."""
        self.close()
        loop = self._reactor.loop
        self._retry = loop.call_later(_RETRY_AFTER, self._start_again)
        loop.call_exception_handler({
            "message": f"accept() failed: {exc.strerror}; trying again in {_RETRY_AFTER:.0f} s",
            "exception": exc,
            "socket": TransportSocket(self._sock),
        })
        return 0


cdef class SocketTransport(_Watched):
    """A connected stream socket: TCP's or Unix's. See ``asyncio.Transport`` for what the methods do."""

    cdef object __weakref__
    cdef object _protocol
    cdef object _context       # in which the protocol is called: what it sets there is this connection's alone
    cdef object _sock          # made when it is first asked for
    cdef list _waiting         # bytes objects to be sent; None in place of those that are
    cdef Py_ssize_t _first     # index of the first of them
    cdef Py_ssize_t _sent      # bytes of it that are sent
    cdef Py_ssize_t _size      # bytes that wait in all
    cdef Py_ssize_t _high
    cdef Py_ssize_t _low
    cdef bint _buffered        # the protocol is an asyncio.BufferedProtocol
    cdef bint _reading         # unless paused
    cdef bint _congested       # the protocol was told to pause writing
    cdef bint _awaits_room     # not to send what waits, but because somebody else wants to write to the socket
    cdef bint _eof             # the peer's
    cdef bint _said_eof        # write_eof() was called
    cdef bint _closing
    cdef bint _doomed          # connection_lost() is about to be called, or was
    cdef object _own           # its own name, once known
    cdef object _other         # the peer's, once known, where that is a Unix socket's
    cdef char _peer[ADDRESS]   # the peer's address where it is one of the internet's

    def __cinit__(self):
        self._fd = -1
        self._closing = self._doomed = True  # until it begins: what was made by nobody harms nobody
        self._high = HIGH_WATER
        self._low = HIGH_WATER // 4

    def __init__(self):
        raise TypeError("transports are made by Reactor.attach and Reactor.listen")

    cdef int _begin(self, Reactor reactor, int descriptor, protocol) except -1:
        """The descriptor is this transport's from here on, unless the system refuses to watch it."""
        self._reactor = reactor
        self._context = copy_context()
        self.set_protocol(protocol)
        self._reading = True
        self._closing = self._doomed = False
        self._fd = descriptor
        try:
            reactor._add(self)
        except BaseException:
            self._fd = -1
            self._closing = self._doomed = True
            raise
        PyContext_Enter(self._context)
        try:
            protocol.connection_made(self)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as exc:
            self._fail(exc, "connection_made")
        finally:
            PyContext_Exit(self._context)
        return 0

    def __del__(self):
        if self._fd >= 0:
            name = repr(self)
            self._closing = self._doomed = True  # who hears the warning is handed it once more
            self._close_descriptor()
            warnings.warn(f"unclosed transport {name}", ResourceWarning, source=self)

    def __repr__(self):
        state = "closed" if self._fd < 0 else "closing" if self._closing else "open"
        return f"<SocketTransport fd={self._fd} {state} waiting={self._size}>"

    # ---- reading -------------------------------------------------------------------------------

    cdef void _ready(self, unsigned int events) except *:
        if self._armed & EPOLLIN and events & (EPOLLIN | EPOLLHUP | EPOLLERR):
            self._reactor.heard += 1
            if self._buffered:
                self._read_into()
            else:
                self._read()
        if self._armed & EPOLLOUT and events & (EPOLLOUT | EPOLLHUP | EPOLLERR):
            self._flush()

    cdef int _read(self) except -1:
        cdef ssize_t got = recv(self._fd, _scratch, CHUNK, 0)
        if got <= 0:
            return self._read_nothing(got, errno)
        PyContext_Enter(self._context)
        try:
            self._protocol.data_received(PyBytes_FromStringAndSize(_scratch, got))
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as exc:
            self._fail(exc, "data_received")
        finally:
            PyContext_Exit(self._context)
        return 0

    cdef int _read_into(self) except -1:
        cdef Py_buffer view
        cdef int descriptor = self._fd
        cdef ssize_t got
        cdef int error
        PyContext_Enter(self._context)
        try:
            PyObject_GetBuffer(self._protocol.get_buffer(-1), &view, PyBUF_WRITABLE)
            if not view.len:
                PyBuffer_Release(&view)
                raise RuntimeError("get_buffer() returned an empty buffer")
            if view.len > CHUNK:  # a body, of which so much can be there that copying it takes 0.2 ms
                with nogil:
                    got = recv(descriptor, view.buf, view.len, 0)
                    error = errno
            else:
                got = recv(descriptor, view.buf, view.len, 0)
                error = errno
            PyBuffer_Release(&view)
            if got > 0:
                self._protocol.buffer_updated(got)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as exc:
            self._fail(exc, "get_buffer or buffer_updated")
            return 0
        finally:
            PyContext_Exit(self._context)
        return 0 if got > 0 else self._read_nothing(got, error)

    cdef int _read_nothing(self, ssize_t got, int error) except -1:
        if got < 0:
            if error != EAGAIN and error != EINTR:
                self._lose(_failure(error))
            return 0
        keep = False
        PyContext_Enter(self._context)
        try:
            keep = self._protocol.eof_received()
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as exc:
            self._fail(exc, "eof_received")
        finally:
            PyContext_Exit(self._context)
        self._eof = True
        if keep:
            self._rearm()
        else:
            self.close()
        return 0

    cdef int _rearm(self) except -1:
        """Ask the kernel for what is of interest now; where it refuses, the connection is lost."""
        cdef unsigned int wanted = 0
        if not self._doomed:
            if self._reading and not self._eof and not self._closing:
                wanted = EPOLLIN
            if self._size or self._awaits_room:
                wanted |= EPOLLOUT
        if wanted != self._armed:
            try:
                self._arm(wanted)
            except OSError as exc:
                self._lose(exc)
        return 0

    def is_reading(self):
        return self._reading and not self._closing

    def pause_reading(self):
        if self._reading and not self._closing:
            self._reading = False
            self._rearm()

    def resume_reading(self):
        if not self._reading and not self._closing:
            self._reading = True
            self._rearm()

    # ---- writing -------------------------------------------------------------------------------

    cpdef write(self, data):
        """Send as much as the socket takes at once; the rest waits."""
        cdef ssize_t sent = 0
        cdef Py_ssize_t size
        cdef int error
        if not PyBytes_CheckExact(data):
            data = bytes(memoryview(data))  # what is mutable may change while it waits
        if self._said_eof:
            raise RuntimeError("Cannot call write() after write_eof()")
        size = PyBytes_GET_SIZE(data)
        if not size or self._doomed or self._closing:
            return
        if not self._size:
            sent = send(self._fd, PyBytes_AS_STRING(data), size, MSG_NOSIGNAL)
            if sent == size:
                return
            if sent < 0:
                error = errno
                if not _for_now(error):
                    self._lose(_failure(error))
                    return
                sent = 0
            self._waiting = []
            self._first = 0
            self._sent = sent
        self._waiting.append(data)
        self._size += size - sent
        self._rearm()
        if self._size > self._high and not self._congested:
            self._tell(True)

    def writelines(self, list_of_data):
        self.write(b"".join(list_of_data))

    def await_room(self):
        """The socket is full, says who writes to it himself (sendfile): the protocol pauses writing until it is not.

        Until then ``get_write_buffer_size()`` is 1 at least: something waits to be taken by the peer.
        """
        if not self._closing and not self._doomed:
            self._awaits_room = True
            self._rearm()
            if not self._congested:
                self._tell(True)

    cdef int _flush(self) except -1:
        cdef ssize_t sent
        if self._awaits_room:
            self._awaits_room = False
            self._rearm()
        sent = self._send_waiting() if self._size else 0
        if sent < 0:
            if not _for_now(-sent):
                self._lose(_failure(-sent))
            return 0
        if sent:
            self._forget(sent)
        try:
            if self._congested and self._size <= self._low:
                self._tell(False)
        finally:
            if not self._size:
                if self._closing:
                    self._lose(None)
                elif self._said_eof:
                    shutdown(self._fd, SHUT_WR)  # it fails where the connection is gone, which reading finds
        return 0

    cdef ssize_t _send_waiting(self):
        """As much as goes by one call. Returns the bytes sent, or the error, negated."""
        cdef iovec parts[PARTS]
        cdef msghdr message
        cdef list waiting = self._waiting
        cdef Py_ssize_t index, count = min(len(waiting) - self._first, PARTS)
        cdef ssize_t sent
        for index in range(count):
            part = waiting[self._first + index]
            parts[index].iov_base = PyBytes_AS_STRING(part)
            parts[index].iov_len = PyBytes_GET_SIZE(part)
        parts[0].iov_base = <char *>parts[0].iov_base + self._sent
        parts[0].iov_len -= self._sent
        memset(&message, 0, sizeof(message))
        message.msg_iov = parts
        message.msg_iovlen = count
        sent = sendmsg(self._fd, &message, MSG_NOSIGNAL)
        return -errno if sent < 0 else sent

    cdef int _forget(self, Py_ssize_t sent) except -1:
        """So many bytes of what waited are sent."""
        cdef list waiting = self._waiting
        self._size -= sent
        if not self._size:
            self._waiting = None
            self._rearm()
            return 0
        sent += self._sent
        while sent >= PyBytes_GET_SIZE(waiting[self._first]):
            sent -= PyBytes_GET_SIZE(waiting[self._first])
            waiting[self._first] = None
            self._first += 1
        self._sent = sent
        if self._first > len(waiting) // 2:  # not each time: a long list would be moved over and over
            del waiting[:self._first]
            self._first = 0
        return 0

    cdef int _tell(self, bint congested) except -1:
        """The protocol: stop writing, where it writes; or go on."""
        self._congested = congested
        if not congested:
            PyContext_Enter(self._context)
        try:
            if congested:
                self._protocol.pause_writing()
            else:
                self._protocol.resume_writing()
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as exc:
            name = "pause_writing" if congested else "resume_writing"
            self._report(exc, f"protocol.{name}() failed")
        finally:
            if not congested:
                PyContext_Exit(self._context)
        return 0

    def set_write_buffer_limits(self, high=None, low=None):
        if high is None:
            high = HIGH_WATER if low is None else 4 * low
        if low is None:
            low = high // 4
        if not high >= low >= 0:
            raise ValueError(f"high ({high!r}) must be >= low ({low!r}) must be >= 0")
        self._high, self._low = high, low
        if self._size > self._high and not self._congested:
            self._tell(True)

    def get_write_buffer_limits(self):
        return self._low, self._high

    def get_write_buffer_size(self):
        return self._size or self._awaits_room

    def can_write_eof(self):
        return True

    def write_eof(self):
        if self._said_eof or self._closing:
            return
        self._said_eof = True
        if not self._size and shutdown(self._fd, SHUT_WR) < 0:
            raise _failure(errno)

    # ---- the end -------------------------------------------------------------------------------

    def is_closing(self):
        return self._closing

    def close(self):
        if not self._closing:
            self._closing = True
            if self._size:
                self._rearm()
            else:
                self._lose(None)

    def abort(self):
        self._lose(None)

    cdef int _fail(self, exc, str where) except -1:
        """The protocol has raised what it should not have."""
        self._report(exc, f"Fatal error: protocol.{where}() call failed.")
        return self._lose(exc)

    cdef int _report(self, exc, str message) except -1:
        self._reactor.loop.call_exception_handler(
            {"message": message, "exception": exc, "transport": self, "protocol": self._protocol}
        )
        return 0

    cdef int _lose(self, exc) except -1:
        """Nothing can or will be sent or read any more; the protocol hears of it in the next tick."""
        if not self._doomed:
            self._doomed = self._closing = True
            self._waiting = None
            self._size = 0
            self._rearm()
            self._reactor.loop.call_soon(self._lost, exc, context=self._context)
        return 0

    def _lost(self, exc):
        if self._fd < 0:
            return  # the loop calls it once; others could
        try:
            self._protocol.connection_lost(exc)
        finally:
            self._protocol = None
            self._own_name()  # the last occasion
            self._peer_name()
            self._reactor._remove(self)
            self._close_descriptor()

    cdef int _close_descriptor(self) except -1:
        cdef int descriptor = self._fd
        self._fd = -1
        if self._sock is None:
            close_descriptor(descriptor)
        else:
            self._sock.close()
        return 0

    # ---- looking -------------------------------------------------------------------------------

    def set_protocol(self, protocol):
        self._protocol = protocol
        self._buffered = isinstance(protocol, asyncio.BufferedProtocol)

    def get_protocol(self):
        return self._protocol

    def get_extra_info(self, name, default=None):
        if name == "peername":
            found = self._peer_name()
        elif name == "sockname":
            found = self._own_name()
        elif name == "socket":
            found = TransportSocket(self._socket()) if self._fd >= 0 or self._sock is not None else None
        else:
            found = None
        return default if found is None else found

    cdef object _own_name(self):
        cdef sockaddr_storage raw
        cdef socklen_t size = sizeof(raw)
        if self._own is None and self._fd >= 0 and not getsockname(self._fd, <sockaddr *>&raw, &size):
            self._own = _name_of(<sockaddr *>&raw, size)
        return self._own

    cdef object _peer_name(self):
        cdef sockaddr_storage raw
        cdef socklen_t size = sizeof(raw)
        if (<sockaddr *>self._peer).sa_family:
            return _name_of(<sockaddr *>self._peer, ADDRESS)
        if self._other is None and self._fd >= 0 and not getpeername(self._fd, <sockaddr *>&raw, &size):
            self._other = _name_of(<sockaddr *>&raw, size)
        return self._other

    cdef object _socket(self):
        if self._sock is None:
            self._sock = socket.socket(fileno=self._fd)
        return self._sock


cdef object _name_of(sockaddr *raw, socklen_t size):
    """The address as Python's sockets give it; ``None`` of a family that is served, but not known by name."""
    cdef char text[64]
    cdef sockaddr_in *four = <sockaddr_in *>raw
    cdef sockaddr_in6 *six = <sockaddr_in6 *>raw
    cdef bytes path
    if raw.sa_family == AF_INET:
        inet_ntop(AF_INET, &four.sin_addr, text, sizeof(text))
        return text.decode("ascii"), ntohs(four.sin_port)
    if raw.sa_family == AF_INET6:
        inet_ntop(AF_INET6, &six.sin6_addr, text, sizeof(text))
        return text.decode("ascii"), ntohs(six.sin6_port), ntohl(six.sin6_flowinfo), six.sin6_scope_id
    if raw.sa_family == AF_UNIX:
        path = (<sockaddr_un *>raw).sun_path[:size - sizeof(raw.sa_family)]
        return path if path.startswith(b"\0") else os.fsdecode(path.rstrip(b"\0"))  # abstract; a file, or unnamed
    return None
