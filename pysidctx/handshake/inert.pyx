"""Warnings about what an SSLContext is given and cannot put to use as it is: a RuntimeWarning with the way out.

They come before anything is changed, so that a filter that makes them errors leaves all as it was. What can
never work is an error, raised elsewhere.
"""

import warnings

import _ssl

from pysidctx.binding cimport bind_openssl
from pysidctx.handles cimport SSL_CTX_of
from pysidctx.handshake.listener cimport has_ticket_keys
from pysidctx.libssl cimport (
    SSL_CTX_get0_certificate, SSL_CTX_get_keylog_callback, SSL_CTX_get_max_proto_version, SSL_CTX_get_num_tickets,
    SSL_CTX_get_options, SSL_CTX_get_ssl_method, SSL_OP_NO_TICKET, SSL_OP_NO_TLSv1_3, TLS1_3_VERSION,
    TLS_client_method, TLS_server_method,
)

bind_openssl()


cdef class Rerouted:

    cdef list serving(self):
        """The SSLContexts that connections are served by, once they are switched."""
        raise NotImplementedError


cdef int warn_without_tickets(object context) except -1:
    """Where ticket keys are to be installed on `context`, and its connections issue no tickets."""
    for serving in contexts_serving(context):
        warn_of_no_tickets(SSL_CTX_of(serving))
    return 0


cdef list contexts_serving(object context):
    """The SSLContexts that serve connections of `context`: itself, or those that they are switched to."""
    for kept in list(getattr(context, "__dict__", {}).values()):
        if isinstance(kept, Rerouted):
            return (<Rerouted> kept).serving()
    return [context]


cdef int warn_of_host(SSL_CTX *listener, SSL_CTX *host) except -1:
    """Where connections of `listener` that are switched to `host` lack something that `host` has."""
    if has_ticket_keys(listener):
        warn_of_no_tickets(host)
    elif has_ticket_keys(host):
        warnings.warn("the ticket keys of a host's SSLContext are without effect, because all hosts have those of "
                      "the listener, and that has none: call keys.install(listener), first", RuntimeWarning)
    if SSL_CTX_get_keylog_callback(listener) is NULL and SSL_CTX_get_keylog_callback(host) is not NULL:
        warnings.warn("a host's SSLContext has a keylog_filename and the listener has none, so that its "
                      "handshakes fail: set it on the listener before install()", RuntimeWarning)
    return 0


cdef int warn_of_no_tickets(SSL_CTX *ctx) except -1:
    if SSL_CTX_get_options(ctx) & SSL_OP_NO_TICKET:
        warnings.warn(
            "no tickets are made with these keys on this SSLContext, because its options have OP_NO_TICKET, "
            "and other processes resume none of its sessions: clear it (ctx.options &= ~ssl.OP_NO_TICKET). If "
            "your program does not set it, openssl.cnf does (Options = -SessionTicket)", RuntimeWarning)
    elif SSL_CTX_get_num_tickets(ctx) == 0 and allows_tls13(ctx):
        warnings.warn(
            "no tickets are made with these keys on this SSLContext in TLS 1.3, because its num_tickets is 0, "
            "and no client of TLS 1.3 can resume: set it to 1 or more", RuntimeWarning)
    return 0


cdef bint allows_tls13(SSL_CTX *ctx) noexcept:
    cdef int newest = SSL_CTX_get_max_proto_version(ctx)  # 0: the latest there is
    return (newest == 0 or newest >= TLS1_3_VERSION) and not SSL_CTX_get_options(ctx) & SSL_OP_NO_TLSv1_3


cdef int warn_without_certificate(object context, SSL_CTX *ctx, str consequence) except -1:
    """Where a server's handshakes would fail for want of a certificate, with this `consequence`."""
    # A callback may switch to a context that has one.
    if (SSL_CTX_get0_certificate(ctx) is NULL
            and _ssl._SSLContext.sni_callback.__get__(context) is None
            and not does_without(_ssl._SSLContext.get_ciphers(context))):
        warnings.warn(
            f"this SSLContext has no certificate, {consequence}. If it serves without one, by pre-shared "
            "keys or anonymously, say so with such ciphers: set_ciphers('PSK')", RuntimeWarning)
    return 0


cdef bint does_without(list ciphers) except -1:
    """Whether these ciphers were chosen to serve anonymously, or by pre-shared keys alone.

    OpenSSL tells nothing of callbacks for such keys, and some builds have their ciphers among the usual ones.
    """
    kinds = [(cipher["auth"], cipher["name"]) for cipher in ciphers if cipher["auth"] != "auth-any"]
    return (any(auth == "auth-null" for auth, _ in kinds)
            or (len(kinds) > 0 and all("PSK" in name or auth == "auth-srp" for auth, name in kinds)))


cdef int warn_of_clients(object context, SSL_CTX *ctx) except -1:
    """Where an id context is set for clients' connections, by a context that serves, too."""
    if (SSL_CTX_get_ssl_method(ctx) not in (TLS_client_method(), TLS_server_method())
            and _ssl._SSLContext.check_hostname.__get__(context)):
        warnings.warn(
            "this SSLContext is for clients, as its check_hostname tells, but by its protocol for servers, "
            "too: then the id context applies to servers' connections alone. Take PROTOCOL_TLS_CLIENT, or "
            "set it on each connection before its handshake", RuntimeWarning)
    return 0
