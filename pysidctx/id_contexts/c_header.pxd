"""pysidctx.h, declared for Cython; documented there."""

from cpython.object cimport PyObject

from pysidctx.libssl cimport SSL, SSL_CTX

cdef extern from "pysidctx.h" nogil:
    enum:
        PYSIDCTX_OK
        PYSIDCTX_TOO_LONG
        PYSIDCTX_TOO_LATE
        PYSIDCTX_NO_MEMORY

cdef extern from "pysidctx.h":
    ctypedef struct pysidctx_api:
        unsigned int version
        size_t size
        int (*SSL_CTX_set_session_id_context)(SSL_CTX *, const unsigned char *,
                                              unsigned int) noexcept nogil
        int (*SSL_set_session_id_context)(SSL *, const unsigned char *,
                                          unsigned int) noexcept nogil
        SSL_CTX *(*SSL_CTX_from)(object) except NULL
        SSL *(*SSL_from)(object, PyObject **) except NULL
    enum:
        PYSIDCTX_API_VERSION
    const char *PYSIDCTX_API_CAPSULE
