from cpython.exc cimport PyErr_Clear
from cpython.object cimport PyObject, PyObject_TypeCheck, PyTypeObject, Py_TYPE
from cpython.ref cimport Py_INCREF, Py_XDECREF

from pysidctx.libssl cimport SSL, SSL_CTX, SSL_SESSION

cdef extern from "cpython_ssl.h":
    ctypedef struct PySSLContext "pysidctx_PySSLContext":
        SSL_CTX *ctx
    ctypedef struct PySSLSocket "pysidctx_PySSLSocket":
        SSL *ssl
    ctypedef struct PySSLSession "pysidctx_PySSLSession":
        SSL_SESSION *session
        PyObject *ctx
    bint is_set "pysidctx_is_set" (PyObject *object, size_t offset) nogil

cdef extern from "Python.h":
    # As cpython.object has it, but NULL is looked at by the caller.
    PyObject *PyObject_GetAttr(object, object)

# Each owns one reference for as long as the process lives.
cdef PyTypeObject *SSLContext_type   # ssl.SSLContext as Python has it; NULL where it was changed
cdef PyTypeObject *SSLSocket_type    # ssl.SSLSocket
cdef PyTypeObject *SSLObject_type    # ssl.SSLObject
cdef PyTypeObject *SSLSession_type   # ssl.SSLSession, which has no subclasses
cdef PyTypeObject *_SSLContext_type  # _ssl._SSLContext, the base of ssl.SSLContext
cdef PyTypeObject *_SSLSocket_type   # _ssl._SSLSocket, which has no subclasses
cdef PyObject *_sslobj               # the attribute's name, interned
cdef size_t sni_callback_offset      # of the field of an _ssl._SSLContext

cdef PyObject *connection_behind(object target, const char *expected) except NULL
cdef SSL_CTX *SSL_CTX_from(object context) except NULL
cdef SSL_CTX *server_context(object context, str purpose) except NULL
cdef str described(object target)
cdef bint is_python_s(object function, str name) except -1

cdef inline bint is_context(object target) noexcept:
    cdef PyTypeObject *kind = Py_TYPE(target)
    if kind is SSLContext_type:
        return True
    if kind is SSLSocket_type or kind is SSLObject_type:
        return False  # said early: the check below walks through all of their bases
    return PyObject_TypeCheck(target, _SSLContext_type)

cdef inline SSL_CTX *SSL_CTX_of(object context) noexcept:
    """Borrowed from `context`, for which is_context() is true: valid as long as it lives."""
    return (<PySSLContext *> context).ctx

cdef inline bint has_sni_callback(PyObject *context) noexcept nogil:
    """Whether a callback is assigned to `sni_callback` of an SSLContext, which lives meanwhile."""
    return is_set(context, sni_callback_offset)

cdef inline bint is_session(object target) noexcept:
    return Py_TYPE(target) is SSLSession_type

cdef inline SSL_SESSION *SSL_SESSION_of(object session) noexcept:
    """Borrowed from `session`, for which is_session() is true: valid as long as it lives."""
    return (<PySSLSession *> session).session

cdef inline object context_of_session(object session):
    """The `_ssl._SSLContext` that `session`, for which is_session() is true, was made with."""
    return <object> (<PySSLSession *> session).ctx

cdef inline PyObject *connection_of(object target, const char *expected) except NULL:
    """The `_ssl._SSLSocket` of an SSLSocket or SSLObject, which has an SSL and keeps it.

    For anything else a TypeError that names the `expected` kinds, or ValueError: it has no SSL.
    A new reference, the caller's. Not an `object`: Cython would count it up and down five times.
    """
    cdef PyObject *connection
    if Py_TYPE(target) is _SSLSocket_type:
        Py_INCREF(target)
        connection = <PyObject *> target
    else:
        connection = PyObject_GetAttr(target, <object> _sslobj)
    if (connection is not NULL and Py_TYPE(<object> connection) is _SSLSocket_type
            and SSL_of(connection) is not NULL):
        return connection
    Py_XDECREF(connection)
    PyErr_Clear()
    return connection_behind(target, expected)

cdef inline SSL *SSL_of(PyObject *connection) noexcept:
    """Borrowed from `connection`, a result of connection_of(): valid as long as that lives."""
    return (<PySSLSocket *> connection).ssl
