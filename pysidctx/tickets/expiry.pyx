"""When a server's sessions expire: `lifetime` seconds after the full handshake, or with the client's certificates."""

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
    """Write Times into `session` and set its timeout accordingly. `creator` is the SSL_CTX that created `ssl`."""
    cdef bint apart = may_resume(ssl, creator)
    cdef Times times
    # Not the time now, which is later if the client was slow: the client would be told a longer lifetime.
    times.full = <uint64_t> SSL_SESSION_get_time(session)
    times.until = verified_until(ssl)
    if SSL_session_reused(ssl):
        if SSL_version(ssl) != TLS1_3_VERSION:
            # The session may belong to the cache, where other threads read it, so it is not changed. A session
            # without Times can be resumed from the cache only.
            return True
        inherit_times(session, &times)
    if not apart:
        times.until = 0
    if not set_times(session, &times):
        return False
    end_at(session, min(times.full + lifetime, times.until))
    return True


cdef void inherit_times(SSL_SESSION *session, Times *times) noexcept nogil:
    """Keep the times of the full handshake in a resumed connection.

    A client certificate that was verified since then can make the session expire earlier, but not later.
    """
    cdef Times former
    if not read_times(session, &former):
        times.until = 0  # the times are unknown: treat the session as expired
        return
    times.full = former.full
    times.until = min(times.until, former.until)


cdef void end_at(SSL_SESSION *session, uint64_t end) noexcept nogil:
    """Make `session` expire at `end`, a Unix time in seconds. The client gets the same limit as ticket lifetime."""
    cdef uint64_t begin = <uint64_t> SSL_SESSION_get_time(session)
    if end > begin:
        SSL_SESSION_set_timeout(session, <long> (end - begin))
        return
    # Expired already: a session in the cache has nothing but its timeout to end it. With a timeout of 0, OpenSSL
    # fails to write a ticket, because it reads another number back.
    SSL_SESSION_set_timeout(session, 1)
    SSL_SESSION_set_time(session, 1)


cdef int on_session_made(SSL *ssl, SSL_SESSION *session) noexcept nogil:
    """See SSL_CTX_sess_set_new_cb(3): OpenSSL has added `session` to its cache, for clients without tickets.

    Returns 0, because this function keeps no reference to it.
    """
    cdef Times times
    cdef Connection *connection = connection_kept(ssl)
    if not SSL_is_server(ssl) or read_times(session, &times):  # on_ticket_made() has set its end
        return 0
    times.until = verified_until(ssl)
    if connection is not NULL and connection.chosen and not may_resume(ssl, connection.chosen_for):
        times.until = 0
    end_at(session, min(<uint64_t> (SSL_SESSION_get_time(session) + SSL_SESSION_get_timeout(session)), times.until))
    return 0
