"""Many datagrams a system call, compiled: ``recvmmsg(2)`` and ``sendmmsg(2)``, which Python does not have (Linux).

What the kernel writes into is made once a thread, and used by all ports of its loop; what is sent it takes from where it
is. Addresses stay as the kernel has them: a peer's tuple is made when it is first heard of.

Datagrams of one peer that come in a row, all of one length but for the last, pass as one (udp(7)): the kernel puts them
together (``UDP_GRO``) and takes them apart (``UDP_SEGMENT``), on the wire they are what they always were.
"""

import os
import socket
import sys

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_GetItem
from cpython.object cimport PyObject
from libc.errno cimport EAGAIN, ECONNREFUSED, EINTR, errno
from libc.stdlib cimport free, malloc
from libc.string cimport memcmp, memcpy, memset

cdef extern from *:
    """
    #include <netinet/in.h>
    #include <sys/socket.h>
    #include <sys/uio.h>
    #ifndef SOL_UDP
    #define SOL_UDP 17
    #endif
    #ifndef UDP_SEGMENT
    #define UDP_SEGMENT 103
    #define UDP_GRO 104
    #endif
    """
    ctypedef unsigned int socklen_t
    struct iovec:
        void *iov_base
        size_t iov_len
    struct sockaddr_in6:
        unsigned short sin6_family
    struct msghdr:
        void *msg_name
        socklen_t msg_namelen
        iovec *msg_iov
        size_t msg_iovlen
        void *msg_control
        size_t msg_controllen
    struct mmsghdr:
        msghdr msg_hdr
        unsigned int msg_len
    struct cmsghdr:
        size_t cmsg_len
        int cmsg_level
        int cmsg_type
    cmsghdr *CMSG_FIRSTHDR(msghdr *message)
    unsigned char *CMSG_DATA(cmsghdr *control)
    size_t CMSG_LEN(size_t size)
    size_t CMSG_SPACE(size_t size)
    int recvmmsg(int fd, mmsghdr *messages, unsigned int count, int flags, void *timeout)
    int sendmmsg(int fd, mmsghdr *messages, unsigned int count, int flags)
    enum:
        MSG_DONTWAIT, SOL_UDP, UDP_SEGMENT, UDP_GRO

__all__ = ["ManyACall"]

cdef enum:
    SLOTS = 64             # datagrams a call
    SLOT = 64 * 1024       # bytes for one, whatever its length (65,527 at most, RFC 768); taken only where written
    WORDS = 4              # for one control message: a header and an int, aligned as the kernel wants it
    MAX_MERGED = 65_000    # bytes merged into one; an IPv4 packet holds 65,507
    MAX_SEGMENTS = 64      # datagrams merged into one: UDP_MAX_SEGMENTS of Linux
    MAX_PEERS = 4096       # whose addresses are known; above it all are forgotten and learnt anew. About 1 MiB


cdef class ManyACall:
    """A :class:`~aionet.core.datagram_calls.DatagramCalls`. Between two calls nothing in the arrays has a meaning, but
    for how many of them the kernel has written into.

    Attributes:
        messages: How many messages the last :meth:`send` made of its datagrams.
    """

    cdef readonly int messages
    cdef char *_slab
    cdef mmsghdr _in[SLOTS]
    cdef mmsghdr _out[SLOTS]
    cdef iovec _in_parts[SLOTS]
    cdef iovec _out_parts[SLOTS]
    cdef sockaddr_in6 _in_names[SLOTS]
    cdef size_t _in_controls[SLOTS][WORDS]
    cdef size_t _out_controls[SLOTS][WORDS]
    cdef int _counts[SLOTS]    # datagrams in each message sent
    cdef int _used
    cdef dict _peers           # by what the kernel calls them
    cdef dict _names           # and the other way round

    def __cinit__(self):
        cdef int slot
        self._slab = <char *>malloc(SLOTS * SLOT)
        if self._slab is NULL:
            raise MemoryError
        memset(self._in, 0, sizeof(self._in))
        memset(self._out, 0, sizeof(self._out))
        for slot in range(SLOTS):
            self._in_parts[slot].iov_base = self._slab + slot * SLOT
            self._in_parts[slot].iov_len = SLOT
            self._in[slot].msg_hdr.msg_iov = &self._in_parts[slot]
            self._in[slot].msg_hdr.msg_iovlen = 1
            self._in[slot].msg_hdr.msg_name = &self._in_names[slot]
            self._in[slot].msg_hdr.msg_control = self._in_controls[slot]
        self._used = SLOTS
        self._peers, self._names = {}, {}

    def __dealloc__(self):
        free(self._slab)

    def allow_merging(self, sock):
        try:
            sock.setsockopt(SOL_UDP, UDP_GRO, 1)
        except OSError:
            pass

    # ---- in ------------------------------------------------------------------------------------

    def receive(self, sock, int slots, on_error):
        cdef int slot, count, error
        cdef bint merged = False
        cdef Py_ssize_t size = 0, length, segment, start
        cdef char *data
        cdef object peer = None
        cdef list found = []
        for slot in range(self._used):
            self._in[slot].msg_hdr.msg_namelen = sizeof(sockaddr_in6)
            self._in[slot].msg_hdr.msg_controllen = WORDS * sizeof(size_t)
        count = recvmmsg(sock.fileno(), self._in, min(slots, <int>SLOTS), MSG_DONTWAIT, NULL)
        if count < 0:
            error = errno
            self._used = 1
            if error != EAGAIN and error != EINTR:
                on_error(OSError(error, os.strerror(error)))
            return found, 0, False
        self._used = count
        for slot in range(count):
            if not slot or not self._same_name(slot):
                peer = self._peer(slot)
            data = self._slab + slot * SLOT
            length = self._in[slot].msg_len
            size += length
            segment = self._segment(&self._in[slot].msg_hdr)
            if segment <= 0 or segment >= length:
                found.append((PyBytes_FromStringAndSize(data, length), peer))
                merged = merged or segment > 0
                continue
            merged = True
            for start in range(0, length, segment):
                found.append((PyBytes_FromStringAndSize(data + start, min(segment, length - start)), peer))
        return found, size, merged

    cdef bint _same_name(self, int slot) noexcept:
        cdef socklen_t size = self._in[slot].msg_hdr.msg_namelen
        return size == self._in[slot - 1].msg_hdr.msg_namelen and not memcmp(
            &self._in_names[slot], &self._in_names[slot - 1], size
        )

    cdef Py_ssize_t _segment(self, msghdr *message) noexcept:
        """The length of the datagrams that were merged into this one; 0: none were."""
        cdef cmsghdr *control
        cdef int value
        if not message.msg_controllen:
            return 0
        control = CMSG_FIRSTHDR(message)
        if control is NULL or control.cmsg_level != SOL_UDP or control.cmsg_type != UDP_GRO:
            return 0
        memcpy(&value, CMSG_DATA(control), sizeof(value))
        return value

    cdef object _peer(self, int slot):
        cdef bytes name = PyBytes_FromStringAndSize(<char *>&self._in_names[slot], self._in[slot].msg_hdr.msg_namelen)
        cdef PyObject *known = PyDict_GetItem(self._peers, name)
        if known is not NULL:
            return <object>known
        peer = _address(name)
        self._remember(name, peer)
        return peer

    # ---- out -----------------------------------------------------------------------------------

    def send(self, sock, batch, Py_ssize_t largest, on_error):
        cdef int at = 0, slot = -1, taken, error, done = 0
        cdef Py_ssize_t size, merged = 0, segment = 0, last_size = 0, total = 0
        cdef object last_peer = self  # nobody
        cdef bytes data, name
        cdef list kept = []  # names must outlive the call, and may be forgotten meanwhile
        cdef msghdr *message
        for data, peer in batch:
            size = PyBytes_GET_SIZE(data)
            if (
                peer is last_peer
                and 0 < size <= segment
                and segment == last_size <= largest
                and merged + size <= MAX_MERGED
                and self._counts[slot] < MAX_SEGMENTS
            ):
                self._counts[slot] += 1
                merged += size
            else:
                name = None
                if peer is not None:
                    name = self._name(sock, peer)
                    if name is None:
                        break
                    kept.append(name)
                slot += 1
                message = &self._out[slot].msg_hdr
                message.msg_name = NULL if name is None else PyBytes_AS_STRING(name)
                message.msg_namelen = 0 if name is None else PyBytes_GET_SIZE(name)
                message.msg_iov = &self._out_parts[at]
                self._counts[slot] = 1
                merged = segment = size
                last_peer = peer
            self._out_parts[at].iov_base = PyBytes_AS_STRING(data)
            self._out_parts[at].iov_len = size
            at += 1
            last_size = size
            if at == SLOTS:
                break
        self.messages = slot + 1
        if slot < 0:
            return 0, 0, False
        for slot in range(self.messages):
            self._finish(slot)
        taken = sendmmsg(sock.fileno(), self._out, self.messages, MSG_DONTWAIT)
        if taken < 0:
            error = errno
            taken = 0
            if error == ECONNREFUSED:
                on_error(OSError(error, os.strerror(error)))
        for slot in range(taken):
            done += self._counts[slot]
        for at in range(done):
            total += self._out_parts[at].iov_len
        return done, total, taken < self.messages and self._counts[taken] > 1

    cdef void _finish(self, int slot) noexcept:
        """Tell the kernel how many parts a message has, and how it is to be taken apart."""
        cdef msghdr *message = &self._out[slot].msg_hdr
        cdef cmsghdr *control
        cdef unsigned short segment
        message.msg_iovlen = self._counts[slot]
        message.msg_control = NULL
        message.msg_controllen = 0
        if self._counts[slot] > 1:
            message.msg_control = self._out_controls[slot]
            message.msg_controllen = CMSG_SPACE(sizeof(segment))
            control = CMSG_FIRSTHDR(message)
            control.cmsg_len = CMSG_LEN(sizeof(segment))
            control.cmsg_level = SOL_UDP
            control.cmsg_type = UDP_SEGMENT
            segment = message.msg_iov[0].iov_len
            memcpy(CMSG_DATA(control), &segment, sizeof(segment))

    cdef bytes _name(self, sock, peer):
        """The ``sockaddr`` of this peer; ``None`` where that takes more than a number (a scope, a mistake)."""
        try:
            name = self._names.get(peer)
            if name is None:
                name = _sockaddr(sock.family, *peer)
                self._remember(name, peer)
        except (OSError, OverflowError, TypeError, ValueError, AttributeError):
            return None
        return name

    cdef _remember(self, bytes name, peer):
        if len(self._peers) >= MAX_PEERS or len(self._names) >= MAX_PEERS:
            self._peers.clear()
            self._names.clear()
        self._peers[name] = peer
        self._names[peer] = name


def _address(bytes name):
    """The address as the socket module gives it, of a ``sockaddr_in`` or ``sockaddr_in6``."""
    port = int.from_bytes(name[2:4], "big")
    if len(name) == 16:
        return socket.inet_ntop(socket.AF_INET, name[4:8]), port
    host = socket.inet_ntop(socket.AF_INET6, name[8:24])
    return host, port, int.from_bytes(name[4:8], "big"), int.from_bytes(name[24:28], sys.byteorder)


def _sockaddr(family, host, port, flow=0, scope=0):
    head = int(family).to_bytes(2, sys.byteorder) + port.to_bytes(2, "big")
    if family == socket.AF_INET:
        return head + socket.inet_pton(socket.AF_INET, host) + bytes(8)
    return head + flow.to_bytes(4, "big") + socket.inet_pton(family, host) + scope.to_bytes(4, sys.byteorder)
