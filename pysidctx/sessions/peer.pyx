"""The host with which a client's session was established, and whether the peer's name was checked.

OpenSSL has a place for the host's name in a session, but files it only where the server has
acknowledged it. Here the connection's own name is filed. OpenSSL hands it on to the tickets of
resumed connections, so that it stays the name of the full handshake.
"""

from pysidctx.exceptions import SessionError

from pysidctx.binding cimport bind_openssl
from pysidctx.errors cimport check
from pysidctx.handles cimport SSL_of
from pysidctx.libssl cimport (
    SSL_get0_param, SSL_session_reused, SSL_SESSION_get0_hostname, SSL_SESSION_get_ex_data,
    SSL_SESSION_get_ex_new_index, SSL_SESSION_set1_hostname, SSL_SESSION_set_ex_data,
)
from pysidctx.openssl_compat cimport checks_host

bind_openssl()

# In a session's ex_data: whether its peer's name was checked; NULL if unknown. OpenSSL copies the value with the
# session, and there is nothing to free.
cdef int verdict_index
cdef char checked, unchecked


cdef str host_of(SSL_SESSION *session):
    """Return the host name that is stored in `session`, or None."""
    cdef const char *name = SSL_SESSION_get0_hostname(session)
    # Other programs may store arbitrary bytes as a name.
    return None if name is NULL else (<bytes> name).decode("ascii", "backslashreplace")


cdef bint is_checked(SSL_SESSION *session) noexcept nogil:
    """Whether the peer is known to have had a certificate for the name."""
    return SSL_SESSION_get_ex_data(session, verdict_index) is not &unchecked


cdef int note_checked(SSL_SESSION *session, bint was_checked) except -1:
    """Record the result for `session`, and for the sessions that result from resuming it."""
    return check(set_checked(session, was_checked), b"SSL_SESSION_set_ex_data()")


cdef bint set_checked(SSL_SESSION *session, bint was_checked) noexcept nogil:
    """Like note_checked(). Returns False if OpenSSL fails."""
    return SSL_SESSION_set_ex_data(session, verdict_index, &checked if was_checked else &unchecked)


cdef bint is_same(str host, str other):
    return host.lower() == other.lower()


cdef bint checks_name(PyObject *connection) except -1:
    """Whether a client's connection checks the peer's name in a full handshake."""
    cdef int checks = checks_host(SSL_get0_param(SSL_of(connection)))
    # The connection was created with the setting of the context, unless that was changed since.
    return (<object> connection).context.check_hostname if checks < 0 else checks


cdef int file_host_of(SSL_SESSION *session, PyObject *connection) except -1:
    """Record, after a client's handshake that has resulted in `session`, whether the peer's name was checked."""
    if SSL_session_reused(SSL_of(connection)):
        # The host is that of the full handshake. If Python's `ssl` has offered the session, nothing else was recorded,
        # but both connections belong to the same context.
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
    """Record `host`, for which the user vouches. Raises TypeError, ValueError, and SessionError if it contradicts."""
    name = as_server_hostname(host)
    filed = host_of(session)
    if filed is not None and not is_same(filed, name):
        raise SessionError(
            f"this session was established with {filed}, not with {host}: pass host={filed!r}, or omit host")
    file_host(session, name)
    return note_checked(session, True)


cdef str as_server_hostname(object host):
    """Encode a host name as Python's `ssl` does."""
    if not isinstance(host, str):
        raise TypeError(f"host must be a str, not {type(host).__name__}")
    if not host or "\0" in host:
        raise ValueError(f"{host!r} is not a host name: pass the server_hostname of the connection")
    return host.encode("idna").decode()


verdict_index = check(SSL_SESSION_get_ex_new_index(0, NULL, NULL, NULL, NULL),
                      b"SSL_SESSION_get_ex_new_index()")
