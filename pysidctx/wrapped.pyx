"""SSLContexts that wrap another one: find the context that creates their connections, by trial connections.

A subclass of `ssl.SSLContext` can override `wrap_bio()` and `wrap_socket()`, as truststore's does, and create
connections with another context. Settings on the SSL_CTX of the subclass then have no effect. No attribute reveals
the other context, so these methods are called for connections that are not used.
"""

import socket
import ssl
import threading

import _ssl

from cpython.object cimport PyObject, Py_TYPE
from cpython.ref cimport Py_DECREF

from pysidctx.binding cimport bind_openssl
from pysidctx.handles cimport (
    SSL_CTX_of, SSL_of, SSLContext_type, connection_of, described, is_context, is_python_s,
)
from pysidctx.libssl cimport SSL_CTX_get_ssl_method, SSL_get_SSL_CTX, TLS_client_method

bind_openssl()

cdef extern from "Python.h":
    object PyObject_GenericGetDict(object, void *)

# Each method, with the attribute that holds the class of the connections that it creates.
_MAKERS = {"wrap_bio": "sslobject_class", "wrap_socket": "sslsocket_class"}

# The list of contexts whose methods this thread is calling for a trial.
_trying = threading.local()


cdef object unwrapped(object context):
    """Return the SSLContext that creates the connections of `context`: itself, or the one that it wraps.

    Raises TypeError if `context` is not an SSLContext, and ValueError if the other context cannot be determined. The
    result is not cached: each call looks overridden methods up and tries them. It may run arbitrary Python code.
    """
    if not is_context(context):
        raise TypeError(f"expected an ssl.SSLContext, not {described(context)}")
    overridden = [method for method in _MAKERS if is_overridden(context, method)]
    if not overridden:
        return context
    tried = vars(_trying).setdefault("contexts", [])
    if any(other is context for other in tried):
        return context  # one of the methods on trial has called this function
    tried.append(context)
    try:
        # Each method is tried twice, to detect those that create a new context for each connection.
        found = [context_by(method, context) for method in overridden * 2]
    finally:
        tried.pop()
    if len(overridden) < len(_MAKERS):
        found.append(context)  # by the method that is Python's own
    for other in found:
        if other is not found[0]:
            raise ValueError(
                f"{kind_of(context)} creates its connections with several SSLContexts, so none of them can be "
                f"configured for all connections: {way_out}")
    return found[0]


cdef str way_out = ("make its wrap_bio() and wrap_socket() create connections with the same context as super(), or "
                    "pass the SSLContext that creates them, which is the `context` attribute of a connection")


cdef bint is_overridden(object context, str method) except -1:
    """Whether `method` of `context` may behave differently from that of `ssl.SSLContext`."""
    kind = <object> Py_TYPE(context)
    attributes = attributes_of(context)
    if (kind.__getattribute__ is not _ssl._SSLContext.__getattribute__ or hasattr(kind, "__getattr__")
            or method in attributes or f"_{method}" in attributes):
        return True
    if getattr(kind, f"_{method}") is not getattr(_ssl._SSLContext, f"_{method}"):
        return True
    if not hasattr(kind, method):  # a bare _ssl._SSLContext
        return False
    maker = attributes.get(_MAKERS[method], getattr(kind, _MAKERS[method]))
    return not (is_python_s(getattr(kind, method), f"SSLContext.{method}")
                and creates_as_python_s(maker))


cdef bint creates_as_python_s(object maker) except -1:
    """Whether a class of connections creates them with the context that Python passes to it."""
    create = getattr(getattr(maker, "_create", None), "__func__", None)
    return is_python_s(create, "SSLObject._create") or is_python_s(create, "SSLSocket._create")


cdef dict attributes_of(object context):
    """Return the attributes that were set on the instance."""
    try:
        return PyObject_GenericGetDict(context, NULL)
    except AttributeError:  # an instance of the base class _ssl._SSLContext has no __dict__
        return {}


cdef object context_by(str method, object context):
    """Return the SSLContext with which `method` of `context` creates connections. Raises ValueError."""
    cdef bint client = SSL_CTX_get_ssl_method(SSL_CTX_of(context)) is TLS_client_method()
    try:
        try:
            return context_tried(method, context, not client)
        except MemoryError:
            raise
        except Exception as error:
            # A wrapper for servers may wrap a context for clients, and the reverse.
            first = error
        try:
            return context_tried(method, context, client)
        except Exception:
            raise first
    except MemoryError:
        raise
    except Exception as error:
        raise ValueError(
            f"{kind_of(context)} overrides {method}(), and a trial call did not reveal which SSLContext creates its "
            f"connections ({type(error).__name__}: {error}): {way_out}") from error


cdef object context_tried(str method, object context, bint server_side):
    options = {"server_side": True} if server_side else {"server_hostname": "localhost"}
    if method == "wrap_bio":
        return context_of(context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), **options))
    ours, theirs = socket.socketpair()
    try:
        theirs.shutdown(socket.SHUT_WR)  # a handshake would then fail at once instead of waiting
        made = context.wrap_socket(ours, do_handshake_on_connect=False, **options)
        try:
            return context_of(made)
        finally:
            made.close()
    finally:
        ours.close()
        theirs.close()


cdef object context_of(object made):
    """Return the SSLContext that has created a connection."""
    cdef PyObject *connection = connection_of(made, b"ssl.SSLSocket or ssl.SSLObject")
    try:
        context = (<object> connection).context
        if not is_context(context) or SSL_CTX_of(context) is not SSL_get_SSL_CTX(SSL_of(connection)):
            raise ValueError("the SSL_CTX of the connection is not that of its `context`")
        return context
    finally:
        Py_DECREF(<object> connection)


cdef str kind_of(object context):
    kind = <object> Py_TYPE(context)
    return f"this {kind.__module__}.{kind.__qualname__}"


cdef bint attributes_are_found() except -1:
    """Whether has_attributes() finds the attributes of an SSLContext of Python's own class where it expects them."""
    context = _ssl._SSLContext.__new__(<object> SSLContext_type, _ssl.PROTOCOL_TLS_SERVER)
    cdef PyObject **kept = attributes_before(context)
    if kept is NULL:
        return True  # has_attributes() calls Python instead of reading memory
    attributes = PyObject_GenericGetDict(context, NULL)
    if kept[0] is not <PyObject *> attributes or has_attributes(context):
        return False
    context = _ssl._SSLContext.__new__(<object> SSLContext_type, _ssl.PROTOCOL_TLS_SERVER)
    context.sslobject_class = None  # before anybody has asked for the dict
    return has_attributes(context)


if SSLContext_type is not NULL and attributes_are_found():
    plain_type = SSLContext_type
