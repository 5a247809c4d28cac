"""OpenSSL's server name callbacks, which acknowledge or refuse a name. OpenSSL calls them after the host was chosen.

CPython implements `sni_callback` by such a callback, which uses the context that Python has for the connection. That
is still the listener's context after OpenSSL was switched to a host's. (Older releases use the context whose SSL_CTX
it is.) On the SSL_CTX of a host with an `sni_callback`, this module's callback replaces CPython's.
"""

import _ssl

from cpython.exc cimport PyErr_SetObject, PyErr_WriteUnraisable
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF
from cpython.unicode cimport PyUnicode_DecodeASCII
from libc.string cimport strlen

from pysidctx.binding cimport bind_openssl
from pysidctx.handshake.listener cimport Connection, connection_kept
from pysidctx.libssl cimport (
    SSL, SSL_AD_HANDSHAKE_FAILURE, SSL_AD_INTERNAL_ERROR, SSL_CTX_set_tlsext_servername_callback, SSL_get_app_data,
    SSL_get_servername, SSL_get_SSL_CTX, SSL_TLSEXT_ERR_ALERT_FATAL, SSL_TLSEXT_ERR_NOACK, SSL_TLSEXT_ERR_OK,
    TLSEXT_NAMETYPE_host_name,
)

bind_openssl()

cdef extern from "Python.h":
    # On failure, these leave the exception set, for PyErr_WriteUnraisable().
    PyObject *PyObject_CallFunctionObjArgs(object callable, ...)
    PyObject *PyErr_Occurred()
    long PyLong_AsLong(object pylong)


cdef int on_server_name(SSL *ssl, int *alert, void *unused) noexcept nogil:
    """Tell the client whether its name is known. OpenSSL asks for this later than the choice must be made."""
    cdef Connection *connection = connection_kept(ssl)
    if connection is not NULL and connection.named:
        return SSL_TLSEXT_ERR_OK
    return SSL_TLSEXT_ERR_NOACK


cdef void acknowledge_names(SSL_CTX *ctx) noexcept nogil:
    """Install answer callbacks on an SSL_CTX without an sni_callback: OpenSSL would acknowledge every name."""
    SSL_CTX_set_tlsext_servername_callback(ctx, on_server_name)


cdef void ignore_names(SSL_CTX *ctx) noexcept nogil:
    """Undo acknowledge_names()."""
    SSL_CTX_set_tlsext_servername_callback(ctx, NULL)


cdef void ask_host(SSL_CTX *ctx) noexcept nogil:
    """Install on_host_server_name() on the SSL_CTX of a host with an sni_callback, after each ClientHello for it.

    An assignment of sni_callback sets CPython's own callback again, so this must be repeated.
    """
    SSL_CTX_set_tlsext_servername_callback(ctx, on_host_server_name)


cdef int on_host_server_name(SSL *ssl, int *alert, void *unused) noexcept with gil:
    """Call the sni_callback of the host as CPython calls that of a listener."""
    cdef PyObject *connection = <PyObject *> SSL_get_app_data(ssl)
    alert[0] = SSL_AD_INTERNAL_ERROR
    if connection is NULL:  # C code has created the connection, so there is no Python object to pass
        return SSL_TLSEXT_ERR_ALERT_FATAL
    try:
        return answer(ssl, <object> connection, alert)
    except BaseException as error:
        PyErr_SetObject(type(error), error)
        PyErr_WriteUnraisable(<object> connection)
        return SSL_TLSEXT_ERR_ALERT_FATAL


cdef int answer(SSL *ssl, object connection, int *alert) except? SSL_TLSEXT_ERR_ALERT_FATAL:
    context, callback = callback_for(ssl, connection)
    if callback is None:  # it was removed after the ClientHello was read
        return on_server_name(ssl, alert, NULL)
    owner = connection.owner
    name = server_name(ssl)
    cdef PyObject *result = PyObject_CallFunctionObjArgs(
        callback, <PyObject *> (connection if owner is None else owner), <PyObject *> name, <PyObject *> context, NULL)
    if result is NULL:
        PyErr_WriteUnraisable(callback)
        alert[0] = SSL_AD_HANDSHAKE_FAILURE
        return SSL_TLSEXT_ERR_ALERT_FATAL
    returned = <object> result
    Py_DECREF(returned)  # the reference that the call returned
    if returned is None:
        return SSL_TLSEXT_ERR_OK
    alert[0] = alert_number(returned)
    return SSL_TLSEXT_ERR_ALERT_FATAL


cdef tuple callback_for(SSL *ssl, object connection):
    """Return the SSLContext whose sni_callback must run, and the callback: the host's, otherwise the listener's."""
    cdef Connection *kept = connection_kept(ssl)
    contexts = [connection.context]
    if kept is not NULL and kept.context is not NULL and kept.context.ctx is SSL_get_SSL_CTX(ssl):
        contexts.insert(0, <object> kept.context.context)
    for context in contexts:
        callback = _ssl._SSLContext.sni_callback.__get__(context)
        if callback is not None:
            break
    return context, callback


cdef object server_name(SSL *ssl):
    cdef const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name)
    return None if name is NULL else PyUnicode_DecodeASCII(name, strlen(name), NULL)


cdef int alert_number(object returned) noexcept:
    cdef long number = PyLong_AsLong(returned)
    if number == -1 and PyErr_Occurred() is not NULL:
        PyErr_WriteUnraisable(returned)
        return SSL_AD_INTERNAL_ERROR
    return <int> number
