# Loops over short functions of OpenSSL; they return the seconds they took. How the functions are called is decided by
# the module that includes this: its macros, and what it puts in its table.

from pysidctx.handles cimport SSL_CTX_from
from pysidctx.libssl cimport SSL_CTX, SSL_CTX_get_ssl_method, SSL_CTX_set_session_id_context

cdef extern from "timing.h":
    double seconds() nogil


def get_ssl_method(Py_ssize_t loops, context, bytes sid_ctx):
    cdef SSL_CTX *ctx = SSL_CTX_from(context)
    cdef double start = seconds()
    for _ in range(loops):
        SSL_CTX_get_ssl_method(ctx)
    return seconds() - start


def set_session_id_context(Py_ssize_t loops, context, bytes sid_ctx):
    cdef SSL_CTX *ctx = SSL_CTX_from(context)
    cdef const unsigned char *data = sid_ctx
    cdef unsigned int length = <unsigned int> len(sid_ctx)
    cdef double start = seconds()
    for _ in range(loops):
        SSL_CTX_set_session_id_context(ctx, data, length)
    return seconds() - start
