"""What a server asks of its clients' certificates, as far as Python changes it while it serves."""

from pysidctx.libssl cimport SSL_VERIFY_PEER, SSL_VERIFY_POST_HANDSHAKE

# Of an SSLContext at one moment.
cdef struct Demands:
    int verify_mode
    unsigned long verify_flags
    bint post_handshake_auth

cdef inline int connection_mode(int verify_mode, bint post_handshake_auth) noexcept nogil:
    """The verify mode that CPython gives a connection of such a context."""
    if post_handshake_auth and verify_mode & SSL_VERIFY_PEER:
        return verify_mode | SSL_VERIFY_POST_HANDSHAKE
    return verify_mode
