from cpython.object cimport PyObject

from pysidctx.libssl cimport SSL_CTX
from pysidctx.lockfree.readers cimport atomic_size_t

# An SSLContext to which connections may be switched. A reference to its SSL_CTX alone is not enough, because OpenSSL
# passes the Python object to CPython's callbacks.
cdef struct HeldContext:
    SSL_CTX *ctx
    PyObject *context          # the owner holds the reference; after disown_context(), this struct holds one
    atomic_size_t references   # one for the owner, and one for each connection
    void *next                 # the next HeldContext in the list of unneeded ones

cdef void hold_context(HeldContext *held) noexcept nogil
cdef void release_context(HeldContext *held) noexcept nogil
cdef HeldContext *new_held(object context, size_t size) except NULL
cdef int disown_context(HeldContext *held) except -1
