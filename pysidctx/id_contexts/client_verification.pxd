"""The client verification settings of a server that Python can change while it serves."""

from pysidctx.libssl cimport (
    SSL, SSL_get0_param, SSL_get_verify_mode, SSL_VERIFY_PEER, SSL_VERIFY_POST_HANDSHAKE, X509_VERIFY_PARAM_get_flags,
)

# The settings of an SSLContext at one moment.
cdef struct Demands:
    int verify_mode
    unsigned long verify_flags
    bint post_handshake_auth

cdef inline int connection_mode(int verify_mode, bint post_handshake_auth) noexcept nogil:
    """Return the verify mode that CPython sets on a connection of such a context."""
    if post_handshake_auth and verify_mode & SSL_VERIFY_PEER:
        return verify_mode | SSL_VERIFY_POST_HANDSHAKE
    return verify_mode

cdef inline void read_connection_demands(SSL *ssl, unsigned long *mode_and_flags) noexcept nogil:
    """Read the settings of the connection itself: those of its SSL_CTX may have changed since SSL_new()."""
    mode_and_flags[0] = SSL_get_verify_mode(ssl)
    mode_and_flags[1] = X509_VERIFY_PARAM_get_flags(SSL_get0_param(ssl))

cdef inline bint are_of_connection(const Demands *demands, const unsigned long *mode_and_flags) noexcept nogil:
    """Whether a connection with this mode and these flags verifies its client as `demands` require."""
    return (mode_and_flags[0] == <unsigned long> connection_mode(demands.verify_mode, demands.post_handshake_auth)
            and mode_and_flags[1] == demands.verify_flags)
