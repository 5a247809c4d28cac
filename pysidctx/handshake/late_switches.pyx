"""Switches to another SSL_CTX after the id context was chosen: stop resuming sessions, and warn the user."""

import warnings

from pysidctx.binding cimport bind_openssl
from pysidctx.handshake.listener cimport Connection, Listener, connection_kept, listener_of
from pysidctx.libssl cimport SSL_get_SSL_CTX
from pysidctx.lockfree.readers cimport atomic_exchange, atomic_load

bind_openssl()


cdef bint may_resume(SSL *ssl, SSL_CTX *created_with) noexcept nogil:
    """Whether `ssl`, like every connection so far, is served by the SSL_CTX for which its id context was chosen.

    Otherwise, sessions of that SSL_CTX would bypass the client verification that the other one requires: the
    ClientHello callback resumes none of them from then on. Not between gate_enter() and gate_leave(), because the
    first such switch takes the GIL.
    """
    cdef Connection *connection = connection_kept(ssl)
    cdef SSL_CTX *chosen_for = created_with
    cdef Listener *listener
    if connection is not NULL and connection.chosen:
        chosen_for = connection.chosen_for
    listener = listener_of(chosen_for)
    if listener is NULL:  # it is being created at this moment
        return False
    if SSL_get_SSL_CTX(ssl) is chosen_for:
        return atomic_load(&listener.left) == 0
    if atomic_exchange(&listener.left, 1) == 0:
        warn_of_switch()
    return False


cdef void warn_of_switch() noexcept with gil:
    warnings.warn(
        "pysidctx: sni_callback or an assignment to `context` has switched a connection to another SSLContext after "
        "its session id context was chosen. From now on, sessions of the original SSLContext are not resumed, because "
        "they would bypass the client verification of the other one. Use a HostMap to choose the SSLContext",
        RuntimeWarning)
