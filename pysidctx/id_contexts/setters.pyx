"""Setting session id contexts on ssl objects and OpenSSL's; for Python, C and Cython."""

cimport cython

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_GET_SIZE
from cpython.pycapsule cimport PyCapsule_New
from cpython.ref cimport Py_DECREF
from libc.string cimport memcpy

from pysidctx cimport handles, libssl
from pysidctx.handles cimport SSL_CTX_of, SSL_of, connection_of, is_context
from pysidctx.handshake.inert cimport warn_of_clients
from pysidctx.handshake.listener cimport (
    Connection, Listener, connection_kept, likely, listener_of, new_connection, new_listener, recent_listener_of,
    unlikely,
)
from pysidctx.id_contexts.c_header cimport (
    PYSIDCTX_API_CAPSULE, PYSIDCTX_API_VERSION, PYSIDCTX_NO_MEMORY, PYSIDCTX_OK, PYSIDCTX_TOO_LATE, PYSIDCTX_TOO_LONG,
    pysidctx_api,
)
from pysidctx.libssl cimport (
    SSL_get_pending_cipher, SSL_get_session, SSL_in_before, SSL_MAX_SID_CTX_LENGTH,
)
from pysidctx.lockfree.id_context_slot cimport sid_slot_write
from pysidctx.wrapped cimport is_plain, kind_of, unwrapped

cdef const char *TARGETS = b"ssl.SSLContext, ssl.SSLSocket or ssl.SSLObject"

MAX_SID_CTX_LENGTH = SSL_MAX_SID_CTX_LENGTH


def set_session_id_context(target, sid_ctx):
    """Set the session id context of `target`: which sessions it resumes, and marks its own with.

    A server resumes a session only where the session's id context equals the connection's, byte
    for byte; otherwise the client gets a full handshake, not an error. A client whose connection
    has another id context than the session it was given fails its handshake. So does, in TLS 1.3, a
    client with an external pre-shared key (`SSLContext.set_psk_client_callback()`) and any id context
    but an empty one: OpenSSL makes a session of that key, whose id context is empty.

    target
        An `ssl.SSLContext`: counts for each of its servers' connections that reads its ClientHello
        after the call, also on CPython 3.13 and later, whose `ssl` overwrites what the `SSLContext`
        itself has; and for each client's connection of a `PROTOCOL_TLS_CLIENT` context that is
        made after the call. (Clients of a context for both sides, such as `PROTOCOL_TLS`, get
        a random one: set theirs on the connection. Where its `check_hostname` shows that it is for
        clients, a RuntimeWarning says so.) Where a `HostMap` is installed on it, the
        hosts have id contexts of their own, and those for other names are derived from this one.
        Or an `ssl.SSLSocket` or `ssl.SSLObject` (or the `_ssl` object beneath any of them): counts
        for this connection alone, and wins over what its `SSLContext` or its host has, whichever
        was set first. Set it before the handshake: a server decides on resumption when it reads the
        ClientHello, before `sni_callback` runs.
    sid_ctx
        A bytes-like object of 0 to `MAX_SID_CTX_LENGTH` (32) bytes, of any value. With an empty
        one, OpenSSL fails every attempt to resume on a server that verifies clients. It stands alone:
        when the certificates, the CAs or the revocation lists of the `SSLContext` change, sessions
        from before are resumed still, and nobody verifies their clients again. Where that must not
        be, derive it from `context_fingerprint()`, and set it anew after each change.

    Raises, and then nothing is changed:

    TypeError
        `target` is not such an object, or belongs to a library with a libssl of its own;
        `sid_ctx` is not bytes-like (a `str` has to be encoded) or not contiguous.
    ValueError
        `sid_ctx` is too long; `target` is a socket that is closed, unwrapped or not connected;
        its handshake has begun, so that the call would come too late; `target` is an SSLContext
        with methods of its own that do not show which context makes its connections.
    MemoryError
        No memory for it, or no random numbers.

    On an `SSLContext` it is safe in any thread, with servers' handshakes going on in others: each
    gets the id context from before the call or from after it, whole. Clients' connections are not
    to be made in that very moment: OpenSSL might copy half of each, and fail to resume with it. A
    connection belongs to the thread that uses it.

    An `SSLContext` may have another one make its connections, as truststore's does: the id context is
    set on that one. Which it is, the `wrap_bio()` and `wrap_socket()` of a class that overrides them
    show: each is called, with `ssl.MemoryBIO` objects and with a socket, for a connection that is not
    used. This is so for all of pysidctx that takes an `SSLContext`.

    On an `SSLContext` it takes the one ClientHello callback (`SSL_CTX_set_client_hello_cb()`) that
    OpenSSL has place for; Python itself does not use it. See SSL_CTX_set_session_id_context(3).
    """
    cdef const unsigned char *data
    cdef unsigned char copied[SSL_MAX_SID_CTX_LENGTH]
    cdef Py_ssize_t length
    cdef PyObject *connection
    cdef int result
    if PyBytes_CheckExact(sid_ctx):
        data = <const unsigned char *> PyBytes_AS_STRING(sid_ctx)
        length = PyBytes_GET_SIZE(sid_ctx)
        if length > SSL_MAX_SID_CTX_LENGTH:
            raise too_long(length)
    else:
        if is_context(sid_ctx) or hasattr(sid_ctx, "_sslobj"):
            raise TypeError("the arguments are swapped: call set_session_id_context(target, sid_ctx)")
        length = copy_sid_ctx(sid_ctx, copied)
        data = copied
    if is_plain(target):
        set_on_plain(target, data, length)
    elif is_context(target):
        set_on_plain(unwrapped(target), data, length)
    else:
        connection = connection_of(target, TARGETS)
        result = set_on_connection(SSL_of(connection), data, <unsigned int> length)
        Py_DECREF(<object> connection)
        if result <= 0:
            raise refusal(result)


cdef inline int set_on_context(SSL_CTX *ctx, Listener *listener, const unsigned char *sid_ctx,
                               unsigned int length) noexcept nogil:
    """Set an id context of at most 32 bytes for the next connections of `ctx`; returns a PYSIDCTX_ code.

    `listener` is what is kept on `ctx`. Two calls for one `ctx` must not overlap; handshakes may
    run meanwhile.
    """
    if listener is not NULL:
        sid_slot_write(&listener.id_context, sid_ctx, length)
    else:
        listener = new_listener(ctx, sid_ctx, length)
        if listener is NULL:
            return PYSIDCTX_NO_MEMORY
    if listener.serves:
        return PYSIDCTX_OK
    return libssl.SSL_CTX_set_session_id_context(ctx, sid_ctx, length)


cdef inline int set_on_connection(SSL *ssl, const unsigned char *sid_ctx,
                                  unsigned int length) noexcept nogil:
    """Set an id context of at most 32 bytes for `ssl` alone; returns a PYSIDCTX_ code.

    Called by the one thread that uses `ssl`.
    """
    cdef Connection *connection
    # A server has a session, and that its id context, from the ClientHello on; between a
    # HelloRetryRequest and its answer none, but a cipher.
    if (not likely(SSL_in_before(ssl))
            and (SSL_get_session(ssl) is not NULL or SSL_get_pending_cipher(ssl) is not NULL)):
        return PYSIDCTX_TOO_LATE
    connection = connection_kept(ssl)
    if unlikely(connection is NULL):
        connection = new_connection(ssl)
        if connection is NULL:
            return PYSIDCTX_NO_MEMORY
    connection.own = True
    if likely(length == SSL_MAX_SID_CTX_LENGTH):  # as derived ones are: without a call
        memcpy(connection.id_context, sid_ctx, SSL_MAX_SID_CTX_LENGTH)
    else:
        memcpy(connection.id_context, sid_ctx, length)
    connection.length = length
    return libssl.SSL_set_session_id_context(ssl, sid_ctx, length)


cdef inline int set_on_plain(object context, const unsigned char *data, Py_ssize_t length) except -1:
    """The same for a context that makes its connections itself."""
    cdef SSL_CTX *ctx = SSL_CTX_of(context)
    cdef Listener *listener = recent_listener_of(ctx)
    cdef int result
    if unlikely(listener is NULL):  # nothing was set yet
        warn_of_clients(context, ctx)
    # A lock only where there is no GIL to keep two calls for one SSL_CTX apart.
    with cython.critical_section(context):
        if unlikely(listener is NULL):
            listener = recent_listener_of(ctx)  # another call may have been first
        result = set_on_context(ctx, listener, data, <unsigned int> length)
    if result <= 0:
        raise refusal(result)
    return 0


cdef Py_ssize_t copy_sid_ctx(object sid_ctx, unsigned char *copied) except -1:
    """Copy a bytes-like object into `copied`; returns its length in bytes."""
    cdef Py_buffer view
    if isinstance(sid_ctx, str):
        raise TypeError("sid_ctx must be bytes-like, not str: encode it, as with .encode()")
    try:
        PyObject_GetBuffer(sid_ctx, &view, PyBUF_SIMPLE)
    except BufferError:
        raise TypeError("sid_ctx must be contiguous: pass bytes(sid_ctx)") from None
    except TypeError:
        raise TypeError(f"sid_ctx must be bytes-like, not {type(sid_ctx).__name__}") from None
    try:
        if view.len > SSL_MAX_SID_CTX_LENGTH:
            raise too_long(view.len)
        memcpy(copied, view.buf, view.len)
        return view.len
    finally:
        PyBuffer_Release(&view)


cdef object too_long(Py_ssize_t length):
    return ValueError(
        f"the session id context is {length} bytes long, at most {MAX_SID_CTX_LENGTH} are "
        "possible: shorten it with derive_session_id_context()")


cdef object refusal(int result):
    if result == PYSIDCTX_TOO_LATE:
        return ValueError(
            "the handshake has begun and its session has its id context already: set it before "
            "the handshake")
    return MemoryError("no memory to keep the session id context in, or no random numbers")


cdef int SSL_CTX_set_session_id_context(SSL_CTX *ctx, const unsigned char *sid_ctx,
                                        unsigned int sid_ctx_len) noexcept nogil:
    if sid_ctx_len > SSL_MAX_SID_CTX_LENGTH:
        return PYSIDCTX_TOO_LONG
    return set_on_context(ctx, listener_of(ctx), sid_ctx, sid_ctx_len)


cdef int SSL_set_session_id_context(SSL *ssl, const unsigned char *sid_ctx,
                                    unsigned int sid_ctx_len) noexcept nogil:
    if sid_ctx_len > SSL_MAX_SID_CTX_LENGTH:
        return PYSIDCTX_TOO_LONG
    return set_on_connection(ssl, sid_ctx, sid_ctx_len)


cdef SSL_CTX *SSL_CTX_from(object context) except NULL:
    cdef SSL_CTX *ctx = handles.SSL_CTX_from(context)
    other = unwrapped(context)
    if other is not context:
        # Borrowed from `context`, as the result is, it would be valid for an unknown time.
        raise ValueError(f"{kind_of(context)} makes its connections with another SSLContext: pass that, the "
                         "`context` of a connection")
    return ctx


cdef SSL *SSL_from(object connection, PyObject **owner) except NULL:
    owner[0] = connection_of(connection, TARGETS)
    return SSL_of(owner[0])


cdef pysidctx_api api
api.version = PYSIDCTX_API_VERSION
api.size = sizeof(pysidctx_api)
api.SSL_CTX_set_session_id_context = SSL_CTX_set_session_id_context
api.SSL_set_session_id_context = SSL_set_session_id_context
api.SSL_CTX_from = SSL_CTX_from
api.SSL_from = SSL_from

_C_API = PyCapsule_New(&api, PYSIDCTX_API_CAPSULE, NULL)
