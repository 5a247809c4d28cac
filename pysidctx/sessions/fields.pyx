"""Read the fields of a session."""

from libc.string cimport memcmp

from pysidctx.exceptions import SessionError

from pysidctx.binding cimport bind_openssl
from pysidctx.der cimport der_of
from pysidctx.libssl cimport (
    DTLS1_2_VERSION, DTLS1_VERSION, SSL3_VERSION, SSL_SESSION_get0_id_context, SSL_SESSION_get0_peer,
    SSL_SESSION_get_id, SSL_SESSION_get_protocol_version, SSL_SESSION_has_ticket, SSL_SESSION_is_resumable,
    TLS1_1_VERSION, TLS1_2_VERSION, TLS1_3_VERSION, TLS1_VERSION, X509, i2d_of_void,
    i2d_X509,
)

bind_openssl()

_PROTOCOLS = {
    SSL3_VERSION: "SSLv3", TLS1_VERSION: "TLSv1", TLS1_1_VERSION: "TLSv1.1",
    TLS1_2_VERSION: "TLSv1.2", TLS1_3_VERSION: "TLSv1.3", DTLS1_VERSION: "DTLSv1",
    DTLS1_2_VERSION: "DTLSv1.2",
}


cdef str protocol_of(SSL_SESSION *session):
    """Return the protocol version in the format of SSLSocket.version()."""
    cdef int version = SSL_SESSION_get_protocol_version(session)
    return _PROTOCOLS.get(version, f"unknown (0x{version:04x})")


cdef bint is_marked(SSL_SESSION *session) noexcept:
    """Whether OpenSSL has marked a session as not resumable that otherwise could be resumed."""
    cdef unsigned int length
    SSL_SESSION_get_id(session, &length)
    return (not SSL_SESSION_is_resumable(session)
            and (length > 0 or SSL_SESSION_has_ticket(session)))


cdef object refusal_of_marked():
    return SessionError(
        "OpenSSL has marked this session as not resumable, because its connection failed or was not shut "
        "down properly: call Session.of() while the connection is open")


cdef bint has_id_context(SSL_SESSION *session, const unsigned char *expected,
                         Py_ssize_t expected_length) noexcept:
    cdef unsigned int length
    cdef const unsigned char *sid_ctx = SSL_SESSION_get0_id_context(session, &length)
    return length == expected_length and memcmp(sid_ctx, expected, length) == 0


cdef bytes id_context_of(SSL_SESSION *session):
    cdef unsigned int length
    cdef const unsigned char *sid_ctx = SSL_SESSION_get0_id_context(session, &length)
    return sid_ctx[:length]


cdef object certificate_of(SSL_SESSION *session):
    """Return the peer's certificate in DER format, or None if it presented none."""
    cdef X509 *certificate = SSL_SESSION_get0_peer(session)
    return None if certificate is NULL else der_of(<i2d_of_void *> i2d_X509, certificate, b"i2d_X509()")
