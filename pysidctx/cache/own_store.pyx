"""A user's own store of sealed entries, in place of the slab: an object with get(), put() and delete().

Handshakes call it, with the GIL. Its errors are told as those of a destructor are, and count as a miss.
"""

from cpython.bytes cimport PyBytes_AS_STRING
from cpython.ref cimport Py_DECREF
from libc.stdint cimport uint64_t

from pysidctx.cache.slab cimport SLAB_MOST_PACKED, SLAB_NAME_LENGTH, slab_entry, slab_pack, slab_unpack

cdef extern from "Python.h" nogil:
    int Py_IsInitialized()


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
    cdef unsigned char packed[SLAB_MOST_PACKED]
    cdef size_t length = slab_pack(entry, packed)
    (<object> store).put(key_of(kind, name), packed[:length], entry.end - now)


cdef bint get_from(void *store, int kind, const unsigned char *name, slab_entry *entry) noexcept with gil:
    """Whether there is an entry, which is not to be believed before its seal was opened."""
    value = (<object> store).get(key_of(kind, name))
    if value is None:
        return False
    if not isinstance(value, bytes):
        raise TypeError(f"get() returned {type(value).__name__}, not the bytes that were put in")
    return len(value) > 0 and slab_unpack(
        <const unsigned char *> PyBytes_AS_STRING(value), len(value), entry) == <size_t> len(value)


cdef void delete_from(void *store, int kind, const unsigned char *name) noexcept with gil:
    (<object> store).delete(key_of(kind, name))


cdef void release_store(void *store) noexcept nogil:
    """Drop the reference that a Cache held, in whatever thread. At exit, it is left alone."""
    if Py_IsInitialized():
        with gil:
            Py_DECREF(<object> store)
