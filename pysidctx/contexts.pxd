from cpython.object cimport PyObject

from pysidctx.demands cimport Demands
from pysidctx.libssl cimport SSL_CTX

cdef extern from "readers.h" nogil:
    ctypedef struct atomic_size_t:
        pass
    ctypedef struct shared_pointer:
        pass

# An SSLContext that a HostMap names. Its SSL_CTX alone would not do for a connection: OpenSSL passes
# CPython's object on to CPython's callbacks.
cdef struct HeldContext:
    SSL_CTX *ctx
    PyObject *context          # the HostMap keeps it; after let_go() this struct, by a reference
    atomic_size_t references   # the HostMap's and the connections'
    HeldContext *next          # among those that nobody needs, or may need, any more
    # The HostMap's own, and changed by it alone.
    size_t entries
    bint idle                  # in its list of those that may be without entries
    Demands demands            # as they were when the fingerprint was taken
    unsigned char fingerprint[32]

cdef void hold(HeldContext *held) noexcept nogil
cdef void release(HeldContext *held) noexcept nogil
cdef HeldContext *new_held(object context) except NULL
cdef int let_go(HeldContext *held) except -1
