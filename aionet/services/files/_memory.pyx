"""A small file that is in memory, looked at, opened, read and looked at again, compiled: one of 4 KiB takes 6.6 us, where
the Python of ``memory.py`` takes 12.3, and twice as much of both when the processor's caches hold neither."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from posix.unistd cimport close

from .opening import LOOK, READ, RESOLVE_FROM_MEMORY, SYS_OPENAT2

__all__ = ["read_from_memory"]

cdef extern from "<sys/stat.h>" nogil:
    struct timespec:
        long tv_sec
        long tv_nsec
    struct stat:
        unsigned long st_ino
        unsigned int st_mode
        long st_size
        timespec st_mtim
        timespec st_ctim
    int fstat(int, stat *)
    bint S_ISREG(unsigned int)

cdef extern from "<sys/uio.h>" nogil:
    struct iovec:
        void *iov_base
        size_t iov_len
    ssize_t preadv2(int, const iovec *, int, long, int)

cdef extern from "<unistd.h>" nogil:
    long syscall(long, ...)

cdef struct open_how:
    unsigned long long flags, mode, resolve

cdef long _OPENAT2 = SYS_OPENAT2
cdef open_how _look = open_how(LOOK, 0, RESOLVE_FROM_MEMORY)
cdef open_how _read = open_how(READ, 0, RESOLVE_FROM_MEMORY)


cdef inline long long _ns(timespec when) noexcept:
    return <long long>when.tv_sec * 1_000_000_000 + when.tv_nsec


cdef inline bint _same(stat *one, stat *other) noexcept:
    return (
        one.st_size == other.st_size
        and _ns(one.st_mtim) == _ns(other.st_mtim)
        and _ns(one.st_ctim) == _ns(other.st_ctim)
    )


cdef inline long long _count(int descriptor, stat *found, long long offset, long long length) noexcept:
    """Bytes that are asked for; negative where there are none to be had."""
    if fstat(descriptor, found) or not S_ISREG(found.st_mode) or offset > found.st_size:
        return -1
    return found.st_size - offset if length < 0 else min(length, found.st_size - offset)


def read_from_memory(
    int directory, bytes name not None, long long offset, long long length, long long limit, int flags
):
    """As :func:`aionet.services.files.memory.read_from_memory`."""
    cdef stat found, now
    cdef iovec vector
    cdef long long count
    cdef bytes content = None
    cdef int descriptor = syscall(_OPENAT2, directory, <const char *>name, &_look, sizeof(open_how))
    if descriptor < 0:
        return None
    count = _count(descriptor, &found, offset, length)
    close(descriptor)
    if not 0 <= count <= limit:
        return None
    descriptor = syscall(_OPENAT2, directory, <const char *>name, &_read, sizeof(open_how))
    if descriptor < 0:
        return None
    try:
        count = _count(descriptor, &found, offset, length)
        if not 0 <= count <= limit:
            return None
        content = PyBytes_FromStringAndSize(NULL, count)
        vector.iov_base, vector.iov_len = PyBytes_AS_STRING(content), count
        if count and preadv2(descriptor, &vector, 1, offset, flags) < count:
            return None
        if fstat(descriptor, &now) or not _same(&found, &now):
            return None
    finally:
        close(descriptor)
    return found.st_ino, found.st_size, _ns(found.st_mtim), _ns(found.st_ctim), content
