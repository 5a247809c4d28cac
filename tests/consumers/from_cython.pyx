"""An extension module in Cython that sets id contexts by way of `cimport pysidctx`."""

from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF

cimport pysidctx
from pysidctx.libssl cimport SSL, SSL_CTX


def set_on_context(context, const unsigned char[:] sid_ctx not None):
    cdef SSL_CTX *ctx = pysidctx.SSL_CTX_from(context)
    cdef const unsigned char *data = &sid_ctx[0] if len(sid_ctx) else NULL
    cdef unsigned int length = <unsigned int> len(sid_ctx)
    cdef int result
    with nogil:
        result = pysidctx.SSL_CTX_set_session_id_context(ctx, data, length)
    return result


def set_on_connection(connection, const unsigned char[:] sid_ctx not None):
    cdef PyObject *owner
    cdef SSL *ssl = pysidctx.SSL_from(connection, &owner)
    cdef const unsigned char *data = &sid_ctx[0] if len(sid_ctx) else NULL
    cdef unsigned int length = <unsigned int> len(sid_ctx)
    cdef int result
    with nogil:
        result = pysidctx.SSL_set_session_id_context(ssl, data, length)
    Py_DECREF(<object> owner)
    return result
