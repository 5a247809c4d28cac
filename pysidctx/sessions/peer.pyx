"""For which host a client's session was made, and whether anybody checked that its peer is that.

OpenSSL has a place for the host's name in a session, but files it only where the server has
acknowledged it. Here the connection's own name is filed. OpenSSL hands it on to the tickets of
resumed connections, so that it stays the name of the full handshake.
"""

from pysidctx.errors import SessionError

from pysidctx.errors cimport check
from pysidctx.handles cimport SSL_of
from pysidctx.libssl cimport (
    SSL_get0_param, SSL_session_reused, SSL_SESSION_get0_hostname, SSL_SESSION_get_ex_data,
    SSL_SESSION_get_ex_new_index, SSL_SESSION_set1_hostname, SSL_SESSION_set_ex_data,
)
from pysidctx.openssl_compat cimport checks_host

# On a session: whether its peer's name was checked; NULL where that is not known. OpenSSL copies it
# with the session; there is nothing to free.
cdef int verdict_index
cdef char checked, unchecked


cdef str host_of(SSL_SESSION *session):
    """The name that is filed in `session`; None where there is none."""
    cdef const char *name = SSL_SESSION_get0_hostname(session)
    # Programs may send any bytes for a name.
    return None if name is NULL else (<bytes> name).decode("ascii", "backslashreplace")


cdef bint is_checked(SSL_SESSION *session) noexcept:
    """Whether the peer had a certificate for the name, as far as is known."""
    return SSL_SESSION_get_ex_data(session, verdict_index) is not &unchecked


cdef int note_checked(SSL_SESSION *session, bint was_checked) except -1:
    """For `session`, and for those that come of it when it is resumed."""
    return check(SSL_SESSION_set_ex_data(session, verdict_index,
                                         &checked if was_checked else &unchecked),
                 b"SSL_SESSION_set_ex_data()")


cdef bint is_same(str host, str other):
    return host.lower() == other.lower()


cdef bint checks_name(PyObject *connection) except -1:
    """Whether a client's connection checks, in a full handshake, that its peer has the name."""
    cdef int checks = checks_host(SSL_get0_param(SSL_of(connection)))
    # The context's own is what the connection was made with, unless it was changed since.
    return (<object> connection).context.check_hostname if checks < 0 else checks


cdef int file_host_of(SSL_SESSION *session, PyObject *connection) except -1:
    """After a client's handshake, with `session`."""
    if SSL_session_reused(SSL_of(connection)):
        # The host is that of the full handshake. Where `ssl` has set the session, nobody noted
        # more; both connections are of one context.
        if SSL_SESSION_get_ex_data(session, verdict_index) is not NULL:
            return 1
    else:
        file_host(session, (<object> connection).server_hostname)
    return note_checked(session, checks_name(connection))


cdef int file_host(SSL_SESSION *session, object name) except -1:
    cdef bytes encoded = b"" if name is None else name.encode()
    return check(SSL_SESSION_set1_hostname(session, NULL if name is None else <char *> encoded),
                 b"SSL_SESSION_set1_hostname()")


cdef int file_given_host(SSL_SESSION *session, object host) except -1:
    """The user answers for `host`. TypeError, ValueError; SessionError where another one is filed."""
    name = as_server_hostname(host)
    filed = host_of(session)
    if filed is not None and not is_same(filed, name):
        raise SessionError(
            f"this session was established with {filed}, not with {host}: pass host={filed!r}, or omit host")
    file_host(session, name)
    return note_checked(session, True)


cdef str as_server_hostname(object host):
    """As `ssl` encodes it."""
    if not isinstance(host, str):
        raise TypeError(f"host must be a str, not {type(host).__name__}")
    if not host or "\0" in host:
        raise ValueError(f"{host!r} is not a host name: pass the server_hostname of the connection")
    return host.encode("idna").decode()


verdict_index = check(SSL_SESSION_get_ex_new_index(0, NULL, NULL, NULL, NULL),
                      b"SSL_SESSION_get_ex_new_index()")
