from cpython.object cimport PyObject

from pysidctx.libssl cimport SSL_CTX
from pysidctx.lockfree.readers cimport atomic_size_t

# An SSLContext that connections may be switched to. Its SSL_CTX alone would not do for one: OpenSSL passes
# CPython's object on to CPython's callbacks.
cdef struct HeldContext:
    SSL_CTX *ctx
    PyObject *context          # its owner keeps it; after disown_context() this struct, by a reference
    atomic_size_t references   # its owner's and the connections'
    void *next                 # the HeldContext after it among those that nobody needs any more

cdef void hold_context(HeldContext *held) noexcept nogil
cdef void release_context(HeldContext *held) noexcept nogil
cdef HeldContext *new_held(object context, size_t size) except NULL
cdef int disown_context(HeldContext *held) except -1
