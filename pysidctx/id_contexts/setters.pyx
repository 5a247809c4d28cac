"""Set session id contexts on objects of ssl and of OpenSSL, from Python, C and Cython."""

cimport cython

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_GET_SIZE
from cpython.pycapsule cimport PyCapsule_New
from cpython.ref cimport Py_DECREF
from libc.string cimport memcpy

from pysidctx cimport handles, libssl
from pysidctx.binding cimport bind_openssl
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

bind_openssl()

cdef const char *TARGETS = b"ssl.SSLContext, ssl.SSLSocket or ssl.SSLObject"

MAX_SID_CTX_LENGTH = SSL_MAX_SID_CTX_LENGTH


def set_session_id_context(target, sid_ctx):
    """Set the session id context of `target`: which sessions it resumes, and what it stores in its own.

    A server resumes a session only if the id context of the session equals that of the connection,
    byte for byte; otherwise the client gets a full handshake, not an error. A client whose connection
    has another id context than the session that it offers fails its handshake when the server resumes.
    In TLS 1.3, a client with an external pre-shared key (`SSLContext.set_psk_client_callback()`) fails
    with any id context but an empty one, because OpenSSL makes a session of that key, whose id context
    is empty.

    target
        An `ssl.SSLContext`: applies to every server connection whose ClientHello is read after the
        call, also on CPython 3.13 and later, whose `ssl` overwrites the id context of the `SSLContext`;
        and to every client connection that a `PROTOCOL_TLS_CLIENT` context makes after the call.
        (Clients of a context for both sides, such as `PROTOCOL_TLS`, get a random one: set theirs on
        the connection. If the `check_hostname` of such a context shows that it is for clients, a
        RuntimeWarning says so.) If a `HostMap` is installed on the context, its hosts have their own id
        contexts, and those for other names are derived from this one.
        Or an `ssl.SSLSocket` or `ssl.SSLObject`, or the `_ssl` object beneath either:
        applies to this connection alone, and takes precedence over the id context of its `SSLContext`
        or host, whichever was set first. Set it before the handshake: a server decides on resumption
        when it reads the ClientHello, before `sni_callback` runs.
    sid_ctx
        A bytes-like object of 0 to `MAX_SID_CTX_LENGTH` (32) bytes, of any value. If it is empty,
        OpenSSL fails every attempt to resume on a server that verifies clients. It is used unchanged,
        so sessions survive a change of the certificates, CAs or revocation lists of the `SSLContext`,
        and their clients are not verified again. To rule this out, derive it from
        `context_fingerprint()`, and set it again after each change.

    Raises, and then nothing is changed:

    TypeError
        `target` is not such an object, or belongs to a library with its own libssl; `sid_ctx` is not
        bytes-like (encode a `str`) or not contiguous.
    ValueError
        `sid_ctx` is too long; `target` is a socket that is closed, unwrapped or not connected; its
        handshake has begun, so the call comes too late; `target` is an SSLContext whose own methods do
        not show which context makes its connections.
    MemoryError
        Out of memory, or no random numbers.

    On an `SSLContext`, safe in any thread while other threads do server handshakes: each gets the
    whole id context from before the call or from after it. Do not make client connections during the
    call: OpenSSL might copy half of each id context, and fail to resume with it. Call it for a
    connection in the thread that uses the connection.

    An `SSLContext` can have another one make its connections, as truststore's does: the id context is
    set on that one. If its class overrides `wrap_bio()` or `wrap_socket()`, pysidctx finds that context
    by calling these methods, with `ssl.MemoryBIO` objects and with a socket, for connections that it
    discards. This applies to every function of pysidctx that takes an `SSLContext`.

    On an `SSLContext` it takes OpenSSL's only ClientHello callback (`SSL_CTX_set_client_hello_cb()`),
    which Python itself does not use. See SSL_CTX_set_session_id_context(3).
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
    """Set an id context of at most 32 bytes for the next connections of `ctx`. Returns a PYSIDCTX_ code.

    `listener` is the Listener of `ctx`, or NULL. Two calls for one `ctx` must not overlap; handshakes may
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
    """Set an id context of at most 32 bytes for `ssl` only. Returns a PYSIDCTX_ code.

    Call it in the thread that uses `ssl`.
    """
    cdef Connection *connection
    # After the ClientHello, a server's connection has a session, which has an id context. Between a
    # HelloRetryRequest and the second ClientHello, it has no session, but a cipher.
    if (not likely(SSL_in_before(ssl))
            and (SSL_get_session(ssl) is not NULL or SSL_get_pending_cipher(ssl) is not NULL)):
        return PYSIDCTX_TOO_LATE
    connection = connection_kept(ssl)
    if unlikely(connection is NULL):
        connection = new_connection(ssl)
        if connection is NULL:
            return PYSIDCTX_NO_MEMORY
    connection.own = True
    if likely(length == SSL_MAX_SID_CTX_LENGTH):  # derived id contexts; the compiler inlines this copy
        memcpy(connection.id_context, sid_ctx, SSL_MAX_SID_CTX_LENGTH)
    else:
        memcpy(connection.id_context, sid_ctx, length)
    connection.length = length
    return libssl.SSL_set_session_id_context(ssl, sid_ctx, length)


cdef inline int set_on_plain(object context, const unsigned char *data, Py_ssize_t length) except -1:
    """Set the id context of an SSLContext that creates its connections itself."""
    cdef SSL_CTX *ctx = SSL_CTX_of(context)
    cdef Listener *listener = recent_listener_of(ctx)
    cdef int result
    if unlikely(listener is NULL):  # nothing was set yet
        warn_of_clients(context, ctx)
    # This locks only on a free-threaded Python. Elsewhere the GIL keeps calls for one SSL_CTX from overlapping.
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
        f"the session id context is {length} bytes long, at most {MAX_SID_CTX_LENGTH} bytes are "
        "allowed: shorten it with derive_session_id_context()")


cdef object refusal(int result):
    if result == PYSIDCTX_TOO_LATE:
        return ValueError(
            "the handshake has begun, and its session already has an id context: set the id context before the "
            "handshake")
    return MemoryError("out of memory, or of random numbers, while setting a session id context")


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
        # A borrowed pointer into the other context would be valid for an unknown time only.
        raise ValueError(f"{kind_of(context)} creates its connections with another SSLContext: pass that SSLContext, "
                         "which is the `context` attribute of a connection")
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
