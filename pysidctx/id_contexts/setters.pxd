"""Session id contexts for Cython: the functions of pysidctx.h, which documents them."""

from cpython.object cimport PyObject

from pysidctx.libssl cimport SSL, SSL_CTX

cdef int SSL_CTX_set_session_id_context(SSL_CTX *ctx, const unsigned char *sid_ctx,
                                        unsigned int sid_ctx_len) noexcept nogil
cdef int SSL_set_session_id_context(SSL *ssl, const unsigned char *sid_ctx,
                                    unsigned int sid_ctx_len) noexcept nogil
cdef SSL_CTX *SSL_CTX_from(object context) except NULL
cdef SSL *SSL_from(object connection, PyObject **owner) except NULL
cdef Py_ssize_t copy_sid_ctx(object sid_ctx, unsigned char *copied) except -1
