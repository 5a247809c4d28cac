"""Setting session id contexts on ssl objects, and deriving them from names; for Python and C."""

cimport cython

from hashlib import sha256

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_GET_SIZE
from cpython.pycapsule cimport PyCapsule_New
from cpython.ref cimport Py_DECREF
from libc.string cimport memcpy

from pysidctx cimport handles
from pysidctx.codes cimport PYSIDCTX_TOO_LATE, PYSIDCTX_TOO_LONG
from pysidctx.handles cimport SSL_CTX_of, SSL_of, connection_of, is_context
from pysidctx.inert cimport warn_of_clients
from pysidctx.libssl cimport SSL_MAX_SID_CTX_LENGTH
from pysidctx.listener cimport (
    Listener, listener_of, recent_listener_of, set_on_connection, set_on_context, unlikely,
)
from pysidctx.wrapped cimport is_plain, kind_of, unwrapped

cdef extern from "pysidctx.h":
    ctypedef struct pysidctx_api:
        unsigned int version
        size_t size
        int (*SSL_CTX_set_session_id_context)(SSL_CTX *, const unsigned char *,
                                              unsigned int) noexcept nogil
        int (*SSL_set_session_id_context)(SSL *, const unsigned char *,
                                          unsigned int) noexcept nogil
        SSL_CTX *(*SSL_CTX_from)(object) except NULL
        SSL *(*SSL_from)(object, PyObject **) except NULL
    enum:
        PYSIDCTX_API_VERSION
    const char *PYSIDCTX_API_CAPSULE

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


def derive_session_id_context(*parts):
    """Return a session id context of 32 bytes for what `parts` name, such as ("shop", host).

    Equal parts give equal id contexts, in every process and release: it is the SHA-256 of the
    parts one after the other, each preceded by its length in bytes as a big-endian number of 8
    bytes; a `str` counts as its UTF-8 encoding. So ("ab", "c") and ("a", "bc") differ.

    It is no secret, and takes none: whoever can guess the parts can compute it.

    parts
        One or more `str` or bytes-like objects.

    Raises TypeError for a part of another type and for no parts at all, and UnicodeEncodeError
    (a ValueError) for a `str` with lone surrogates. Safe in any thread.
    """
    if not parts:
        raise TypeError("derive_session_id_context() needs at least one part: name what the "
                        "sessions are for")
    digest = sha256()
    for part in parts:
        encoded = encoded_part(part)
        digest.update(len(encoded).to_bytes(8, "big"))
        digest.update(encoded)
    return digest.digest()


cdef bytes encoded_part(object part):
    if isinstance(part, str):
        return part.encode()
    try:
        return memoryview(part).tobytes()
    except TypeError:
        hint = ": pass its context_fingerprint()" if is_context(part) else ""
        raise TypeError("the parts of a session id context are str or bytes-like, not "
                        f"{type(part).__name__}{hint}") from None


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
