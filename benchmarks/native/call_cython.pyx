"""An empty function, and loops over pysidctx by `cimport`, which return the seconds they took."""

from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF

cimport pysidctx
from pysidctx.libssl cimport SSL, SSL_CTX

cdef extern from "Python.h":
    # As cpython.object has it, but without a reference that Cython counts.
    PyObject *PyObject_GetAttr(object, object)

cdef extern from "timing.h":
    double seconds() nogil


def empty(target, sid_ctx):
    pass


def attribute(Py_ssize_t loops, context, connection, sid_ctx):
    cdef str name = "_sslobj"
    cdef double start = seconds()
    for _ in range(loops):
        Py_DECREF(<object> PyObject_GetAttr(connection, name))
    return seconds() - start


def cimport_ctx(Py_ssize_t loops, context, connection, bytes sid_ctx):
    cdef SSL_CTX *ctx = pysidctx.SSL_CTX_from(context)
    cdef const unsigned char *data = sid_ctx
    cdef unsigned int length = <unsigned int> len(sid_ctx)
    cdef double start = seconds()
    for _ in range(loops):
        pysidctx.SSL_CTX_set_session_id_context(ctx, data, length)
    return seconds() - start


def cimport_ssl(Py_ssize_t loops, context, connection, bytes sid_ctx):
    cdef PyObject *owner
    cdef SSL *ssl = pysidctx.SSL_from(connection, &owner)
    cdef const unsigned char *data = sid_ctx
    cdef unsigned int length = <unsigned int> len(sid_ctx)
    cdef double start = seconds()
    for _ in range(loops):
        pysidctx.SSL_set_session_id_context(ssl, data, length)
    taken = seconds() - start
    Py_DECREF(<object> owner)
    return taken
