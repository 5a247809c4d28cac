"""From Python's ssl objects to their OpenSSL pointers.

When this module is imported it has the interpreter's `_ssl` make one context, one connection and
one session, and watches libssl make them: so the pointers lie where `cpython_ssl.h` says.
"""

import os
import ssl
import sys
from types import FunctionType

import _ssl

from cpython.ref cimport Py_INCREF

from pysidctx.exceptions import LibraryMismatchError

from pysidctx.binding cimport Witness, bind_openssl, see
from pysidctx.errors cimport check, check_pointer
from pysidctx.libssl cimport (
    CRYPTO_EX_INDEX_SSL, CRYPTO_EX_INDEX_SSL_CTX, CRYPTO_EX_INDEX_SSL_SESSION, CRYPTO_free_ex_index,
    SSL_CTX_get_ex_new_index, SSL_CTX_get_ssl_method, SSL_get_ciphers, SSL_get_ex_new_index, SSL_SESSION_free,
    SSL_SESSION_get_ex_new_index, SSL_SESSION_new, SSL_SESSION_set_cipher, SSL_SESSION_set_protocol_version,
    SSL_set_session, TLS1_2_VERSION, TLS_client_method, TLS_method, TLS_server_method, sk_SSL_CIPHER_value,
)

cdef extern from "Python.h" nogil:
    unsigned long PyThread_get_thread_ident()

bind_openssl()


cdef Witness context_witness, connection_witness, session_witness


cdef SSL_CTX *SSL_CTX_from(object context) except NULL:
    if not is_context(context):
        raise TypeError(f"expected an ssl.SSLContext, not {described(context)}")
    return SSL_CTX_of(context)


cdef SSL_CTX *server_context(object context, str purpose) except NULL:
    """The SSL_CTX of a context that connections can be switched from and to.

    TypeError, ValueError; `purpose` begins its sentence, such as "a host has".
    """
    cdef SSL_CTX *ctx = SSL_CTX_from(context)
    if SSL_CTX_get_ssl_method(ctx) is TLS_client_method():
        raise ValueError(f"{purpose} an SSLContext of PROTOCOL_TLS_SERVER, and this one is for clients "
                         "(PROTOCOL_TLS_CLIENT)")
    if SSL_CTX_get_ssl_method(ctx) not in (TLS_server_method(), TLS_method()):
        raise ValueError(
            f"{purpose} an SSLContext of PROTOCOL_TLS_SERVER, and this one is for one version of TLS "
            f"({context.protocol!r}): say the version in minimum_version and maximum_version instead")
    return ctx


cdef PyObject *connection_behind(object target, const char *expected) except NULL:
    """What connection_of() returns, or why there is nothing to return."""
    try:
        connection = target if Py_TYPE(target) is _SSLSocket_type else target._sslobj
    except AttributeError:
        raise TypeError(f"expected an {expected.decode()}, not {described(target)}") from None
    if Py_TYPE(connection) is _SSLSocket_type:
        if SSL_of(<PyObject *> connection) is NULL:
            # _ssl._SSLSocket() makes an empty one, from CPython 3.10 to 3.13.
            raise ValueError("this _ssl._SSLSocket is empty: call with one that ssl has made")
        Py_INCREF(connection)  # the caller's
        return <PyObject *> connection
    if connection is None:
        raise ValueError(
            f"this {type(target).__name__} has no TLS connection: it is closed, unwrapped or not "
            "yet connected; call with one that is open")
    raise TypeError(f"the _sslobj of {described(target)} is not one of Python's ssl module")


cdef str described(object target):
    """The kind of `target`, and what to call instead where that is known."""
    if isinstance(target, type):
        return f"the class {target.__name__}: pass an instance"
    kind = type(target)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    instead = instead_of(target, name)
    return f"{name}: {instead}" if instead else name


cdef str instead_of(object target, str name):
    """What to pass instead of an object of this name, or to call; None where nobody knows."""
    if is_context(target):
        return "pass a connection, which it has made"
    if Py_TYPE(target) is _SSLSocket_type or isinstance(target, (ssl.SSLSocket, ssl.SSLObject)):
        return "pass the SSLContext that makes such connections"
    if isinstance(target, (str, os.PathLike)):
        return "load the certificate of a file into an ssl.SSLContext, with load_cert_chain()"
    if callable(getattr(type(target), "get_extra_info", None)):  # asyncio's and uvloop's transports and writers
        return ("pass its get_extra_info('ssl_object'), the connection, or its get_extra_info('sslcontext'), the "
                "context")
    for known, instead in (
        ("OpenSSL.", "pyOpenSSL may use a libssl of its own, call set_session_id() of its Context"),
        ("urllib3.contrib.pyopenssl.", "it is pyOpenSSL's, which may use a libssl of its own: take one of ssl"),
        ("M2Crypto.", "call set_session_id_ctx() of M2Crypto's Context"),
        ("asyncio.base_events.Server", "pass the SSLContext that it was started with"),
        ("uvloop.loop.Server", "pass the SSLContext that it was started with"),
        ("asyncio.", "pass what get_extra_info('ssl_object') of its transport returns"),
        ("uvloop.", "pass what get_extra_info('ssl_object') of its transport returns"),
        ("anyio.", "pass what its extra(TLSAttribute.ssl_object) returns"),
        ("pysidctx.hosts.hostmap.HostMap", "pass its listener, the SSLContext that it is installed on"),
        ("pysidctx.hosts.host.Host", "pass its `context`"),
        ("pysidctx.tickets.ticket_keys.TicketKeys", "they are installed on an SSLContext, by keys.install(ctx)"),
        ("pysidctx.sessions.session.Session", "it is taken from a connection, and offered by resume_on(conn)"),
    ):
        if name.startswith(known):
            return instead
    return None


cdef object another_layout():
    return LibraryMismatchError(
        f"the ssl objects of this Python ({sys.version.split()[0]}, "
        f"{getattr(_ssl, '__file__', sys.executable)}) are not laid out as pysidctx "
        f"({__file__}) was built for: build pysidctx from source for this Python")


cdef int prove_layout() except -1:
    """Raise LibraryMismatchError unless the offsets hold what libssl made."""
    context = _ssl._SSLContext(_ssl.PROTOCOL_TLS_SERVER)
    connection = context._wrap_bio(_ssl.MemoryBIO(), _ssl.MemoryBIO(), True)
    # The sizes first: no byte is read that is not the object's.
    if (type(context).__basicsize__ < <Py_ssize_t> sizeof(PySSLContext)
            or type(connection).__basicsize__ < <Py_ssize_t> sizeof(PySSLSocket)
            or <void *> SSL_CTX_of(context) is not context_witness.made
            or <void *> SSL_of(<PyObject *> connection) is not connection_witness.made):
        raise another_layout()
    prove_sessions(context, connection)
    find_sni_callback(context)
    return learn_types(context, connection)


cdef int prove_sessions(object context, object connection) except -1:
    """Raise LibraryMismatchError unless `ssl` keeps a session, and its context, where it should."""
    cdef SSL *ssl_of_connection = SSL_of(<PyObject *> connection)
    cdef SSL_SESSION *given = <SSL_SESSION *> check_pointer(SSL_SESSION_new(), b"SSL_SESSION_new()")
    try:
        # Enough of a session to be copied, as `ssl` does up to CPython 3.12.
        check(SSL_SESSION_set_protocol_version(given, TLS1_2_VERSION),
              b"SSL_SESSION_set_protocol_version()")
        check(SSL_SESSION_set_cipher(given, sk_SSL_CIPHER_value(SSL_get_ciphers(ssl_of_connection), 0)),
              b"SSL_SESSION_set_cipher()")
        check(SSL_set_session(ssl_of_connection, given), b"SSL_set_session()")  # with a reference of its own
        session = connection.session
        if (type(session).__basicsize__ < <Py_ssize_t> sizeof(PySSLSession)
                or <void *> SSL_SESSION_of(session) not in (session_witness.made, <void *> given)
                or (<PySSLSession *> session).ctx is not <PyObject *> context):
            raise another_layout()
    finally:
        SSL_SESSION_free(given)
    return 0


cdef int find_sni_callback(object context) except -1:
    """Find the field for `sni_callback` by what it holds; LibraryMismatchError."""
    global sni_callback_offset
    cdef size_t size = type(context).__basicsize__
    offsets = range(sizeof(PySSLContext), size - sizeof(PyObject *) + 1, sizeof(PyObject *))
    for callback in (lambda *_: None, print, None):
        context.sni_callback = callback
        offsets = [offset for offset in offsets if holds(context, offset, callback)]
    if len(offsets) != 1:
        raise another_layout()
    sni_callback_offset = offsets[0]
    return 0


cdef bint holds(object context, size_t offset, object value) noexcept:
    cdef void *expected = NULL if value is None else <void *> value
    return (<void **> (<char *> <void *> context + offset))[0] is expected


cdef PyObject *kept(object needed) noexcept:
    Py_INCREF(needed)
    return <PyObject *> needed


cdef bint is_python_s(object function, str name) except -1:
    """Whether a function is that of Python's module ssl, and none that another library put in its place."""
    return (type(function) is FunctionType and function.__globals__ is vars(ssl)
            and function.__qualname__ == name)


cdef object python_s_context_class():
    """`ssl.SSLContext` as Python has it: another library may have put its own there. None if it was changed."""
    for kind in (*getattr(ssl.SSLContext, "__mro__", ()), *_ssl._SSLContext.__subclasses__()):
        if (kind.__bases__ == (_ssl._SSLContext,)
                and is_python_s(getattr(kind, "wrap_bio", None), "SSLContext.wrap_bio")
                and is_python_s(getattr(kind, "wrap_socket", None), "SSLContext.wrap_socket")):
            return kind
    return None


cdef int learn_types(object context, object connection) except -1:
    global SSLContext_type, SSLSocket_type, SSLObject_type, SSLSession_type
    global _SSLContext_type, _SSLSocket_type
    python_s = python_s_context_class()
    if python_s is not None:
        SSLContext_type = <PyTypeObject *> kept(python_s)
    SSLSocket_type = <PyTypeObject *> kept(ssl.SSLSocket)
    SSLObject_type = <PyTypeObject *> kept(ssl.SSLObject)
    SSLSession_type = <PyTypeObject *> kept(ssl.SSLSession)
    _SSLContext_type = <PyTypeObject *> kept(type(context))
    _SSLSocket_type = <PyTypeObject *> kept(type(connection))
    return 0


cdef int watch_and_prove() except -1:
    context_witness.thread = PyThread_get_thread_ident()
    connection_witness.thread = session_witness.thread = context_witness.thread
    cdef int context_index = check(
        SSL_CTX_get_ex_new_index(0, &context_witness, see, NULL, NULL),
        b"SSL_CTX_get_ex_new_index()")
    cdef int connection_index = check(
        SSL_get_ex_new_index(0, &connection_witness, see, NULL, NULL),
        b"SSL_get_ex_new_index()")
    cdef int session_index = check(
        SSL_SESSION_get_ex_new_index(0, &session_witness, see, NULL, NULL),
        b"SSL_SESSION_get_ex_new_index()")
    try:
        prove_layout()
    finally:
        # The indexes stay taken, but from here on nothing is called for them.
        check(CRYPTO_free_ex_index(CRYPTO_EX_INDEX_SSL_CTX, context_index),
              b"CRYPTO_free_ex_index()")
        check(CRYPTO_free_ex_index(CRYPTO_EX_INDEX_SSL, connection_index),
              b"CRYPTO_free_ex_index()")
        check(CRYPTO_free_ex_index(CRYPTO_EX_INDEX_SSL_SESSION, session_index),
              b"CRYPTO_free_ex_index()")
    return 0


_sslobj = kept(sys.intern("_sslobj"))
watch_and_prove()
