"""When a server's sessions end: with their lifetime, counted from the full handshake, and the client's certificates."""

from pysidctx.binding cimport bind_openssl
from pysidctx.handshake.late_switches cimport may_resume
from pysidctx.handshake.listener cimport Connection, connection_kept
from pysidctx.libssl cimport (
    SSL_is_server, SSL_SESSION_get_timeout, SSL_SESSION_set_timeout, SSL_session_reused, SSL_version, TLS1_3_VERSION,
)
from pysidctx.openssl_compat cimport SSL_SESSION_get_time, SSL_SESSION_set_time
from pysidctx.tickets.times cimport Times, read_times, set_times
from pysidctx.tickets.verified_chain cimport verified_until

bind_openssl()


cdef bint write_times(SSL *ssl, SSL_CTX *creator, SSL_SESSION *session, uint64_t lifetime) noexcept nogil:
    """Have `session` carry its Times, and end when they say so. `creator` is the SSL_CTX that created `ssl`."""
    cdef bint apart = may_resume(ssl, creator)
    cdef Times times
    times.full = unix_time()
    times.until = verified_until(ssl)
    if SSL_session_reused(ssl):
        if SSL_version(ssl) != TLS1_3_VERSION:
            # Perhaps the cache's, which other threads look at. One without Times is resumed from there
            # alone.
            return True
        inherit_times(session, &times)
    if not apart:
        times.until = 0
    if not set_times(session, &times):
        return False
    end_at(session, min(times.full + lifetime, times.until))
    return True


cdef void inherit_times(SSL_SESSION *session, Times *times) noexcept nogil:
    """Of the full handshake, in a connection that was resumed. A client verified since then may only end it earlier."""
    cdef Times former
    if not read_times(session, &former):
        times.until = 0  # not known: too long ago
        return
    times.full = former.full
    times.until = min(times.until, former.until)


cdef void end_at(SSL_SESSION *session, uint64_t end) noexcept nogil:
    """`end` in seconds of the Unix epoch; a client is told, too, in the ticket's lifetime."""
    cdef uint64_t begin = <uint64_t> SSL_SESSION_get_time(session)
    if end > begin:
        SSL_SESSION_set_timeout(session, <long> (end - begin))
        return
    # Over at once: one that stays in the cache has nothing else to end it. With a timeout of 0 OpenSSL fails to
    # write a ticket: it reads back another number.
    SSL_SESSION_set_timeout(session, 1)
    SSL_SESSION_set_time(session, 1)


cdef int on_session_made(SSL *ssl, SSL_SESSION *session) noexcept nogil:
    """See SSL_CTX_sess_set_new_cb(3): OpenSSL keeps `session`, for clients without tickets.

    0: this function keeps no reference to it.
    """
    cdef Times times
    cdef Connection *connection = connection_kept(ssl)
    if not SSL_is_server(ssl) or read_times(session, &times):  # on_ticket_made() has seen to it
        return 0
    times.until = verified_until(ssl)
    if connection is not NULL and connection.chosen and not may_resume(ssl, connection.chosen_for):
        times.until = 0
    end_at(session, min(<uint64_t> (SSL_SESSION_get_time(session) + SSL_SESSION_get_timeout(session)), times.until))
    return 0
