"""For which host a client's session was made, and whether anybody checked that its peer is that.

OpenSSL has a place for the host's name in a session, but files it only where the server has
acknowledged it. Here the connection's own name is filed. OpenSSL hands it on to the tickets of
resumed connections, so that it stays the name of the full handshake.
"""

from pysidctx.errors import SessionError

from pysidctx.errors cimport check
from pysidctx.libssl cimport (
    SSL_SESSION_get0_hostname, SSL_SESSION_get_ex_data, SSL_SESSION_get_ex_new_index,
    SSL_SESSION_set1_hostname, SSL_SESSION_set_ex_data,
)

# On a session whose peer's name nobody checked: not NULL. Copied with the session; nothing to free.
cdef int unchecked_index
cdef char unchecked


cdef str host_of(SSL_SESSION *session):
    """The name that is filed in `session`; None where there is none."""
    cdef const char *name = SSL_SESSION_get0_hostname(session)
    # Programs may send any bytes for a name.
    return None if name is NULL else (<bytes> name).decode("ascii", "backslashreplace")


cdef bint is_checked(SSL_SESSION *session) noexcept:
    """Whether the peer had a certificate for the name, as far as is known."""
    return SSL_SESSION_get_ex_data(session, unchecked_index) is NULL


cdef bint is_same(str host, str other):
    return host.lower() == other.lower()


cdef int file_connection_host(SSL_SESSION *session, object connection) except -1:
    """After a full handshake of a client's `connection`, which made `session`."""
    cdef bytes name
    if connection.server_hostname is None:
        return leave_host_out(session)
    name = connection.server_hostname.encode()
    check(SSL_SESSION_set1_hostname(session, name), b"SSL_SESSION_set1_hostname()")
    return note_unchecked(session, connection.context)


cdef int note_unchecked(SSL_SESSION *session, object context) except -1:
    """Unless `context`, with which `session` was made, has its connections check names."""
    if context.check_hostname:
        return 1
    return check(SSL_SESSION_set_ex_data(session, unchecked_index, &unchecked),
                 b"SSL_SESSION_set_ex_data()")


cdef int file_said_host(SSL_SESSION *session, object host) except -1:
    """The user answers for `host`. TypeError, ValueError; SessionError where another one is filed."""
    cdef bytes name = encoded(host)
    filed = host_of(session)
    if filed is not None and not is_same(filed, name.decode()):
        raise SessionError(
            f"this session was made for {filed}, not for {host}: say that host, or none")
    check(SSL_SESSION_set1_hostname(session, name), b"SSL_SESSION_set1_hostname()")
    return check(SSL_SESSION_set_ex_data(session, unchecked_index, NULL),
                 b"SSL_SESSION_set_ex_data()")


cdef bytes encoded(object host):
    """As `ssl` encodes server_hostname."""
    if not isinstance(host, str):
        raise TypeError(f"host must be a str, not {type(host).__name__}")
    if not host or "\0" in host:
        raise ValueError(f"{host!r} is not a host's name: say the server_hostname")
    return host.encode("idna")


cdef int leave_host_out(SSL_SESSION *session) except -1:
    return check(SSL_SESSION_set1_hostname(session, NULL), b"SSL_SESSION_set1_hostname()")


unchecked_index = check(SSL_SESSION_get_ex_new_index(0, NULL, NULL, NULL, NULL),
                        b"SSL_SESSION_get_ex_new_index()")
