"""Session: a TLS session outside of its connection."""

cimport cython

from datetime import datetime, timedelta, timezone

from pysidctx import private_files
from pysidctx.exceptions import SessionError, WrongContextError

from cpython.buffer cimport PyBUF_READ, PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.memoryview cimport PyMemoryView_FromMemory
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF

from pysidctx.binding cimport bind_openssl
from pysidctx.errors cimport check, check_pointer
from pysidctx.handles cimport (
    SSL_SESSION_of, SSL_of, connection_of, context_of_session, is_session,
)
from pysidctx.id_contexts.setters cimport copy_sid_ctx
from pysidctx.libssl cimport (
    BIO, BIO_free, SSL, SSL_CIPHER_get_name, SSL_MAX_SID_CTX_LENGTH, SSL_SESSION, SSL_SESSION_dup,
    SSL_SESSION_free, SSL_SESSION_get0_cipher, SSL_SESSION_get_id, SSL_SESSION_get_ticket_lifetime_hint,
    SSL_SESSION_get_timeout, SSL_SESSION_has_ticket, SSL_SESSION_is_resumable, SSL_SESSION_set1_id_context,
    SSL_get_session, SSL_get_state, SSL_is_init_finished, SSL_is_server, TLS_ST_OK,
)
from pysidctx.openssl_compat cimport SSL_SESSION_get_time
from pysidctx.sessions.encoding cimport (
    session_from_der, session_from_pem, session_to_der, session_to_pem, text_of,
)
from pysidctx.sessions.fields cimport (
    certificate_of, has_id_context, id_context_of, is_marked, protocol_of, refusal_of_marked,
)
from pysidctx.sessions.offer cimport resume
from pysidctx.sessions.peer cimport (
    file_host, file_host_of, file_given_host, host_of, is_checked, note_checked,
)

bind_openssl()

ctypedef SSL_SESSION *(*reader)(const unsigned char *data, Py_ssize_t length) except NULL

# This is many times the size of a session with a ticket and certificates.
SESSION_FILE = private_files.Content("a session", SessionError, 1 << 20, ", or pass shared=True")

# The class methods pass this private token to create a Session.
cdef object made_here = object()


@cython.final
cdef class Session:
    """A TLS session outside of its connection: to keep, to write, and to resume later.

    `Session.of()`, `Session.from_der()`, `Session.from_pem()` and `Session.load()` return one. It never
    changes, so any thread may use it at any time. Two sessions are equal if their ids and their id
    contexts are equal; one without an id is equal only to itself.

    Anyone who knows its secret can read and forge what is sent on connections that resume it. The secret
    leaves a Session only by `to_der()`, `to_pem()` and `save()`: `repr()` does not show it, a Session
    cannot be pickled, and its memory is wiped when it is freed.
    """

    cdef SSL_SESSION *session  # the owner of one reference; never changed once the Session is handed out
    cdef object __weakref__

    def __cinit__(self, token=None):
        if token is not made_here:
            raise TypeError("Session() cannot be called: use Session.of(), Session.from_der(), Session.from_pem() or "
                            "Session.load()")

    def __dealloc__(self):
        SSL_SESSION_free(self.session)

    @staticmethod
    def of(source, *, host=None):
        """Return the session of a connection, as it is now.

        source
            An `ssl.SSLSocket` or `ssl.SSLObject` (asyncio's is `get_extra_info("ssl_object")`), of a
            client or a server, after its handshake and before it is closed; or an `ssl.SSLSession`.
            A client of TLS 1.3 gets its tickets after the handshake, with what it reads; until then
            the session is not `resumable`.
        host
            A str: the host whose peer you have checked by other means than `check_hostname`, in the
            form of `server_hostname`.

        The session of a client's connection is bound to its `server_hostname`, and it is noted whether
        the connection has checked that. A resumed connection's is bound to the host of the session that
        it resumed; an `ssl.SSLSession`, and what `ssl` itself has resumed, to the name that the server
        has acknowledged in the full handshake, if it has. There the SSLContext tells whether names are
        checked.

        Raises TypeError for other objects; ValueError for a socket that is closed, unwrapped or not
        connected, or for a `host` that cannot be one; SessionError while the handshake is not finished,
        after the connection has failed, or where the session was made for another host than `host`.

        To be called in the thread that uses the connection. See SSL_get_session(3).
        """
        return bound(of_ssl_session(source) if is_session(source) else of_connection(source), host)

    @staticmethod
    def from_der(data, *, id_context, host=None):
        """Return the session that `to_der()`, or i2d_SSL_SESSION(3) elsewhere, has written.

        data
            A bytes-like object: one session and nothing more.
        id_context
            A bytes-like object of 0 to `MAX_SID_CTX_LENGTH` (32) bytes: the id context that the session
            is to have. None takes any, which is seldom right: a session from another application was
            made by other rules, for another peer, maybe without a certificate, and an application
            that resumes it takes those for its own.
        host
            A str: the `server_hostname` of the connection that it was made on, where `data` does not
            say. What `data` says counts as checked when the session was made: take sessions only
            from where you would take certificates of CAs.

        Raises WrongContextError for another id context, showing both; SessionError for anything that is
        not one session, or one made for another host than `host`; TypeError and ValueError for
        arguments that cannot be what they should.

        OpenSSL's parser leaves part of the secret in memory that it has freed, until that is used
        again. Safe in any thread. See d2i_SSL_SESSION(3).
        """
        return taken(data, id_context, host, session_from_der)

    @staticmethod
    def from_pem(text, *, id_context, host=None):
        """Return the session that `to_pem()`, `openssl s_client -sess_out` or `openssl sess_id` wrote.

        text
            A str or bytes-like object with one block SSL SESSION PARAMETERS, and nothing after it;
            before it may be text.
        id_context, host
            As for `from_der()`, and the errors are the same.

        Safe in any thread. See PEM_read_bio_SSL_SESSION(3).
        """
        if isinstance(text, str):
            text = text.encode("utf-8", "replace")
        return taken(text, id_context, host, session_from_pem)

    @staticmethod
    def load(path, *, id_context, host=None, shared=False):
        """Return the session in a file that `save()`, or the openssl program, has written.

        path
            A str, bytes or os.PathLike.
        id_context, host
            As for `from_der()`, and the errors are the same.
        shared
            True takes a file, too, that other users can read or write or that another user owns:
            they can read what is sent on the connections that resume the session, or even have
            made it themselves. Such a file is a SessionError otherwise.

        Raises OSError, too. Safe in any thread. See PEM_read_bio_SSL_SESSION(3).
        """
        with private_files.read(path, SESSION_FILE, shared=shared) as content:
            return taken(content, id_context, host, session_from_pem)

    def to_der(self):
        """Return the session in DER format, as bytes. They contain its secret and are not overwritten afterwards.

        The host is left out where the peer's name was not checked, so that resuming it after reading
        asks for `host`. Raises SessionError where OpenSSL has marked the session as not resumable: the
        mark would not be written along. Safe in any thread. See i2d_SSL_SESSION(3).
        """
        return session_to_der(writable(self).session)

    def to_pem(self):
        """Return the same in PEM, as a str: what `openssl s_client -sess_out` writes.

        Raises SessionError as `to_der()`. Safe in any thread. See PEM_write_bio_SSL_SESSION(3).
        """
        cdef BIO *bio = session_to_pem(writable(self).session)
        cdef const unsigned char *text
        cdef Py_ssize_t length = text_of(bio, &text)
        try:
            return text[:length].decode("ascii")
        finally:
            BIO_free(bio)

    def save(self, path):
        """Write the PEM of the session to `path`, a file with mode 0600.

        path
            A str, bytes or os.PathLike. A file that is there is replaced in one step, when all is
            written; after an error it is what it was.

        Raises OSError; SessionError as `to_der()`. Safe in any thread; two calls at once for one path leave
        the session of one of them. See PEM_write_bio_SSL_SESSION(3).
        """
        cdef BIO *bio = session_to_pem(writable(self).session)
        cdef const unsigned char *text
        cdef Py_ssize_t length = text_of(bio, &text)
        try:
            with PyMemoryView_FromMemory(<char *> text, length, PyBUF_READ) as view:
                private_files.write(path, view)
        finally:
            BIO_free(bio)

    def with_id_context(self, sid_ctx):
        """Return a copy of the session under another session id context.

        For a session that is to move on purpose: from one application to another that has the same
        peers and checks them alike, or to a program whose clients have no id context, as the openssl
        program's (b"").

        sid_ctx
            A bytes-like object of 0 to `MAX_SID_CTX_LENGTH` (32) bytes.

        Raises TypeError and ValueError for other arguments. Safe in any thread. See
        SSL_SESSION_set1_id_context(3).
        """
        cdef unsigned char copied[SSL_MAX_SID_CTX_LENGTH]
        cdef Py_ssize_t length = copy_sid_ctx(sid_ctx, copied)
        cdef Session copy = duplicate(self.session)
        check(SSL_SESSION_set1_id_context(copy.session, copied, <unsigned int> length),
              b"SSL_SESSION_set1_id_context()")
        return copy

    def resume_on(self, conn, *, any_host=False):
        """Have a client's connection offer the session to its server in the handshake to come.

        The connection gets the session's id context, without which OpenSSL's clients fail a
        handshake that resumes a session of another one. If the server does not take the session,
        there is a full handshake; `session_reused` of the connection tells.

        A resumed handshake checks no certificate. So the session has to be one for this connection:
        made for the same `server_hostname`; with the name checked, if the connection's SSLContext
        has `check_hostname`; with the certificate verified, if the connection verifies.

        conn
            An `ssl.SSLSocket` or `ssl.SSLObject` of a client before its handshake, of any SSLContext
            (`wrap_socket()` of a connected socket with do_handshake_on_connect=False). Not of
            asyncio, whose handshake begins at once: see "asyncio and uvloop" in docs/sessions.md.
        any_host
            True takes the session whatever host it was made for, and whether or not the name was
            checked: where one service is known to have all these names.

        Raises, and then nothing is changed: TypeError for other objects; ValueError for a socket
        that is closed, unwrapped or not connected; SessionError for a server's connection, after the
        handshake has begun, for a protocol that the connection excludes, for a ticket that OpenSSL would
        not send (up to TLS 1.2 with OP_NO_TICKET, in TLS 1.3 after its lifetime), for a session that is not
        `resumable`, and for one that is not for this connection.

        Set TCP_NODELAY on the socket. A resumed handshake of TLS 1.2 ends with a message of the client, and without
        that option, what the client sends next waits for its acknowledgement, up to 40 ms.

        To be called in the thread that uses the connection. See SSL_set_session(3).
        """
        cdef PyObject *connection = connection_of(conn, CONNECTIONS)
        try:
            resume(connection, self.session, any_host)
        finally:
            Py_DECREF(<object> connection)

    @property
    def id(self):
        """bytes, 0 to 32: the session id. If a client's session has a ticket, it is the SHA-256 of the ticket. It is
        empty in TLS 1.3 until the first ticket has arrived, and on a server that has issued a ticket of TLS 1.2.
        """
        cdef unsigned int length
        cdef const unsigned char *data = SSL_SESSION_get_id(self.session, &length)
        return <bytes> data[:length]

    @property
    def id_context(self):
        """bytes, 0 to 32: the session id context of the connection that the session was made on."""
        return id_context_of(self.session)

    @property
    def protocol(self):
        """str, such as "TLSv1.3", as `SSLSocket.version()` returns it."""
        return protocol_of(self.session)

    @property
    def cipher(self):
        """str: the name of the cipher suite, as `SSLSocket.cipher()` returns it."""
        return SSL_CIPHER_get_name(SSL_SESSION_get0_cipher(self.session)).decode()

    @property
    def time(self):
        """datetime in UTC, to the second: when the session was made, or its ticket arrived."""
        return datetime.fromtimestamp(SSL_SESSION_get_time(self.session), timezone.utc)

    @property
    def timeout(self):
        """timedelta: how long after `time` the session may be resumed."""
        return timedelta(seconds=SSL_SESSION_get_timeout(self.session))

    @property
    def has_ticket(self):
        """bool: whether the session has a ticket, which servers give to clients."""
        return bool(SSL_SESSION_has_ticket(self.session))

    @property
    def ticket_lifetime_hint(self):
        """int, in seconds: how long the server keeps the ticket valid; 0 if it did not say."""
        return SSL_SESSION_get_ticket_lifetime_hint(self.session)

    @property
    def resumable(self):
        """bool: whether a client could resume the session: it has a ticket or an id, and OpenSSL has not marked it
        as not resumable because its connection failed.
        """
        return bool(SSL_SESSION_is_resumable(self.session))

    @property
    def peer_certificate(self):
        """bytes: the peer's certificate in DER; None if it showed none."""
        return certificate_of(self.session)

    @property
    def hostname(self):
        """str: the name of the host that the session was made for; None if that is not known. It stays that of the
        full handshake, whatever host the session was resumed on.
        """
        return host_of(self.session)

    def __eq__(self, other):
        if not isinstance(other, Session):
            return NotImplemented
        if not self.id:
            return self is other
        return self.id == other.id and self.id_context == other.id_context

    def __hash__(self):
        return hash((self.id, self.id_context))

    def __repr__(self):
        return (f"<pysidctx.Session {self.protocol} {self.cipher} id={self.id.hex() or None} "
                f"id_context={self.id_context} hostname={self.hostname!r} resumable={self.resumable}>")

    def __reduce__(self):
        raise TypeError("a Session cannot be pickled, because the pickle would contain its secret: use to_der() or "
                        "save(), and protect the result")


cdef const char *SOURCES = b"ssl.SSLSocket, ssl.SSLObject or ssl.SSLSession"
cdef const char *CONNECTIONS = b"ssl.SSLSocket or ssl.SSLObject"


cdef Session duplicate(SSL_SESSION *session):
    cdef Session made = Session.__new__(Session, made_here)
    made.session = <SSL_SESSION *> check_pointer(SSL_SESSION_dup(session), b"SSL_SESSION_dup()")
    return made


cdef Session of_ssl_session(object source):
    cdef Session made = duplicate(SSL_SESSION_of(source))
    note_checked(made.session, is_checked(made.session) and context_of_session(source).check_hostname)
    return made


cdef Session of_connection(object source):
    cdef PyObject *connection = connection_of(source, SOURCES)
    cdef Session made
    try:
        made = duplicate(finished_session(SSL_of(connection)))
        if not SSL_is_server(SSL_of(connection)):
            file_host_of(made.session, connection)
        return made
    finally:
        Py_DECREF(<object> connection)


cdef SSL_SESSION *finished_session(SSL *ssl) except NULL:
    """Return the session of the connection, which owns it."""
    cdef SSL_SESSION *session = SSL_get_session(ssl)
    if session is not NULL and SSL_is_init_finished(ssl):
        return session
    # An error takes OpenSSL back into the handshake, without moving on in it.
    if SSL_get_state(ssl) == TLS_ST_OK:
        raise SessionError("this connection has failed since its handshake, or its peer has closed it without "
                           "close_notify: call Session.of() before that")
    raise SessionError("the handshake of this connection is not finished: call Session.of() after the handshake")


cdef Session bound(Session made, object host):
    """Record `host`, if the user passes one, in a new Session, and return that Session."""
    if host is not None:
        file_given_host(made.session, host)
    return made


cdef Session taken(object data, object id_context, object host, reader read):
    """Decode a Session from `data` with the function `read`, and check its id context."""
    cdef unsigned char expected[SSL_MAX_SID_CTX_LENGTH]
    cdef Py_ssize_t length = -1 if id_context is None else copy_sid_ctx(id_context, expected)
    cdef Session made = Session.__new__(Session, made_here)
    made.session = session_in(data, read)
    if length >= 0 and not has_id_context(made.session, expected, length):
        raise WrongContextError(
            f"this session's id context is {made.id_context}, not {expected[:length]} as expected, so it belongs to "
            "another application. To use it there on purpose, read it with its own id context and call "
            "with_id_context()")
    return bound(made, host)


cdef SSL_SESSION *session_in(object data, reader read) except NULL:
    cdef Py_buffer view
    try:
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    except (BufferError, TypeError):
        raise TypeError("a session can only be read from a contiguous bytes-like object, not from "
                        f"{type(data).__name__}") from None
    try:
        return read(<const unsigned char *> view.buf, view.len)
    finally:
        PyBuffer_Release(&view)


cdef Session writable(Session session):
    """Return the session to write: `session`, or a copy without the host name if that was not checked."""
    cdef Session copy
    if is_marked(session.session):
        raise refusal_of_marked()
    if is_checked(session.session) or host_of(session.session) is None:
        return session
    copy = duplicate(session.session)
    file_host(copy.session, None)
    return copy
