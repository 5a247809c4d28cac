"""A user's own store of sealed entries, in place of the slab: an object with get(), put() and delete().

Handshakes call it, with the GIL. Its errors are told as those of a destructor are, and count as a miss.
"""

from cpython.bytes cimport PyBytes_AS_STRING
from cpython.ref cimport Py_DECREF
from libc.stdint cimport uint64_t
from libc.string cimport memcpy

from pysidctx.binding cimport bind_openssl
from pysidctx.cache.slab cimport SLAB_MOST_DATA, SLAB_NAME_LENGTH, SLAB_SEAL_LENGTH, slab_entry, slab_packed
from pysidctx.tickets.times cimport read_number, write_number

bind_openssl()

cdef extern from "Python.h" nogil:
    int Py_IsInitialized()

cdef enum:
    # A value: the entry's end and length, then its seal as slab.h has it, then its data.
    HEAD_LENGTH = 8


cdef int check_store(object store) except -1:
    for name in ("get", "put", "delete"):
        if not callable(getattr(store, name, None)):
            raise TypeError(f"the store {store!r} has no method {name}(): it takes get(key), put(key, value, seconds) "
                            "and delete(key)")
    return 0


cdef bytes key_of(int kind, const unsigned char *name):
    return bytes([kind]) + name[:SLAB_NAME_LENGTH]


# An exception in one of these functions goes to sys.unraisablehook.

cdef void put_into(void *store, int kind, const unsigned char *name, const slab_entry *entry,
                   uint64_t now) noexcept with gil:
    cdef unsigned char head[HEAD_LENGTH]
    cdef const unsigned char *sealed = <const unsigned char *> &entry.period
    write_number(head, slab_packed(entry))
    (<object> store).put(key_of(kind, name), head[:HEAD_LENGTH] + sealed[:SLAB_SEAL_LENGTH + entry.length],
                         entry.end - now)


cdef bint get_from(void *store, int kind, const unsigned char *name, slab_entry *entry) noexcept with gil:
    """Whether there is an entry, which is not to be believed before its seal was opened."""
    cdef const unsigned char *data
    cdef uint64_t packed
    value = (<object> store).get(key_of(kind, name))
    if value is None:
        return False
    if not isinstance(value, bytes):
        raise TypeError(f"get() returned {type(value).__name__}, not the bytes that were put in")
    data = <const unsigned char *> PyBytes_AS_STRING(value)
    if <size_t> len(value) < HEAD_LENGTH + SLAB_SEAL_LENGTH:
        return False
    packed = read_number(data)
    entry.end = packed >> 16
    entry.length = packed & 0xffff
    if entry.length > SLAB_MOST_DATA or <size_t> len(value) != HEAD_LENGTH + SLAB_SEAL_LENGTH + entry.length:
        return False
    memcpy(&entry.period, data + HEAD_LENGTH, SLAB_SEAL_LENGTH + entry.length)
    return True


cdef void delete_from(void *store, int kind, const unsigned char *name) noexcept with gil:
    (<object> store).delete(key_of(kind, name))


cdef void release_store(void *store) noexcept nogil:
    """Drop the reference that a Cache held, in whatever thread. At exit, it is left alone."""
    if Py_IsInitialized():
        with gil:
            Py_DECREF(<object> store)
