"""Switches to another SSL_CTX after the id context was chosen: what they put an end to, and that the user is told."""

import warnings

from pysidctx.binding cimport bind_openssl
from pysidctx.handshake.listener cimport Connection, Listener, connection_kept, listener_of
from pysidctx.libssl cimport SSL_get_SSL_CTX
from pysidctx.lockfree.readers cimport atomic_exchange, atomic_load

bind_openssl()


cdef bint may_resume(SSL *ssl, SSL_CTX *created_with) noexcept nogil:
    """Whether `ssl` is served by the SSL_CTX that its id context was chosen for, as all of those connections are.

    If not, the sessions of the one get past what the other demands of clients: the ClientHello callback resumes
    none of them from then on. Not between gate_enter() and gate_leave(): the first time it takes the GIL.
    """
    cdef Connection *connection = connection_kept(ssl)
    cdef SSL_CTX *chosen_for = created_with
    cdef Listener *listener
    if connection is not NULL and connection.chosen:
        chosen_for = connection.chosen_for
    listener = listener_of(chosen_for)
    if listener is NULL:  # it is just being made
        return False
    if SSL_get_SSL_CTX(ssl) is chosen_for:
        return atomic_load(&listener.left) == 0
    if atomic_exchange(&listener.left, 1) == 0:
        warn_of_switch()
    return False


cdef void warn_of_switch() noexcept with gil:
    warnings.warn(
        "pysidctx: a connection was switched to another SSLContext, by sni_callback or by setting its `context`, after "
        "its session id context was chosen. From here on, sessions of the SSLContext that it was switched from are not "
        "resumed: they would get past what the other one demands of clients. Choose the SSLContext by a HostMap",
        RuntimeWarning)
