"""SSLContexts that have another one make their connections: which one that is, proved by connections.

A subclass of `ssl.SSLContext` can override `wrap_bio()` and `wrap_socket()`, as truststore's does, and make
connections with another context, so that what is set on the SSL_CTX of its own has no effect. Which context
it is, nobody can tell from outside: such methods are called for connections that are not used.
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

# Each method with the attribute that names the class of what it makes.
_MAKERS = {"wrap_bio": "sslobject_class", "wrap_socket": "sslsocket_class"}

# The contexts whose methods this thread is trying, in a list.
_trying = threading.local()


cdef object unwrapped(object context):
    """The SSLContext that makes the connections of `context`: itself, or the one that it wraps.

    Raises TypeError for anything else, and ValueError where that cannot be found out. Nothing is kept:
    what is overridden is looked up, and tried, in each call. It may run any Python.
    """
    if not is_context(context):
        raise TypeError(f"expected an ssl.SSLContext, not {described(context)}")
    overridden = [method for method in _MAKERS if is_overridden(context, method)]
    if not overridden:
        return context
    tried = vars(_trying).setdefault("contexts", [])
    if any(other is context for other in tried):
        return context  # asked by one of the methods themselves, for what they are about to call
    tried.append(context)
    try:
        # The second time for those that make a context for each connection.
        found = [context_by(method, context) for method in overridden * 2]
    finally:
        tried.pop()
    if len(overridden) < len(_MAKERS):
        found.append(context)  # by the method that is Python's own
    for other in found:
        if other is not found[0]:
            raise ValueError(
                f"{kind_of(context)} makes its connections with several SSLContexts, so that there is none "
                f"to set this on: {way_out}")
    return found[0]


cdef str way_out = ("have its wrap_bio() and wrap_socket() make connections with the context that super() "
                    "would, or pass the SSLContext itself that makes them, which is the `context` of a "
                    "connection")


cdef bint is_overridden(object context, str method) except -1:
    """Whether `method` of `context` may do something else than that of `ssl.SSLContext`."""
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
    """Whether a class of connections leaves to Python which context makes them."""
    create = getattr(getattr(maker, "_create", None), "__func__", None)
    return is_python_s(create, "SSLObject._create") or is_python_s(create, "SSLSocket._create")


cdef dict attributes_of(object context):
    """What was set on the instance."""
    try:
        return PyObject_GenericGetDict(context, NULL)
    except AttributeError:  # a bare _ssl._SSLContext has no place for it
        return {}


cdef object context_by(str method, object context):
    """The SSLContext that `method` of `context` makes connections with. ValueError."""
    cdef bint client = SSL_CTX_get_ssl_method(SSL_CTX_of(context)) is TLS_client_method()
    try:
        try:
            return context_tried(method, context, not client)
        except MemoryError:
            raise
        except Exception as error:
            # A wrapper need not be for the same side as what it wraps.
            first = error
        try:
            return context_tried(method, context, client)
        except Exception:
            raise first
    except MemoryError:
        raise
    except Exception as error:
        raise ValueError(
            f"{kind_of(context)} has a {method}() of its own, and a trial did not show which SSLContext its "
            f"connections are made with ({type(error).__name__}: {error}): {way_out}") from error


cdef object context_tried(str method, object context, bint server_side):
    options = {"server_side": True} if server_side else {"server_hostname": "localhost"}
    if method == "wrap_bio":
        return context_of(context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), **options))
    ours, theirs = socket.socketpair()
    try:
        theirs.shutdown(socket.SHUT_WR)  # so that a handshake would end at once
        made = context.wrap_socket(ours, do_handshake_on_connect=False, **options)
        try:
            return context_of(made)
        finally:
            made.close()
    finally:
        ours.close()
        theirs.close()


cdef object context_of(object made):
    """The SSLContext that a connection was made with."""
    cdef PyObject *connection = connection_of(made, b"ssl.SSLSocket or ssl.SSLObject")
    try:
        context = (<object> connection).context
        if not is_context(context) or SSL_CTX_of(context) is not SSL_get_SSL_CTX(SSL_of(connection)):
            raise ValueError("its SSL_CTX is not that of its context")
        return context
    finally:
        Py_DECREF(<object> connection)


cdef str kind_of(object context):
    kind = <object> Py_TYPE(context)
    return f"this {kind.__module__}.{kind.__qualname__}"


cdef bint attributes_are_found() except -1:
    """Whether what is set on an SSLContext of Python's own class is found where has_attributes() looks for it."""
    context = _ssl._SSLContext.__new__(<object> SSLContext_type, _ssl.PROTOCOL_TLS_SERVER)
    cdef PyObject **kept = attributes_before(context)
    if kept is NULL:
        return True  # it asks Python
    attributes = PyObject_GenericGetDict(context, NULL)
    return kept[0] is <PyObject *> attributes


if SSLContext_type is not NULL and attributes_are_found():
    plain_type = SSLContext_type
