"""A RuntimeWarning for each setting that has no effect on an SSLContext as it is configured, with the remedy.

Warnings are emitted before anything is changed, so nothing changes if a filter turns them into exceptions.
Settings that can never work raise an exception elsewhere.
"""

import warnings
import weakref

import _ssl

from pysidctx.binding cimport bind_openssl
from pysidctx.handles cimport SSL_CTX_of
from pysidctx.handshake.listener cimport STORES_NONE, has_ticket_keys, stores_of
from pysidctx.libssl cimport (
    SSL_CTX_get0_certificate, SSL_CTX_get_keylog_callback, SSL_CTX_get_max_proto_version, SSL_CTX_get_num_tickets,
    SSL_CTX_get_options, SSL_CTX_get_ssl_method, SSL_CTX_get_verify_mode, SSL_OP_NO_TICKET, SSL_OP_NO_TLSv1_3,
    SSL_VERIFY_PEER, TLS1_3_VERSION, TLS_client_method, TLS_server_method,
)

bind_openssl()

# Weak references to the SSLContexts whose connections have been switched to other contexts.
cdef set listeners = set()


cdef class Rerouted:

    cdef list serving(self):
        """Return the SSLContexts to which connections are switched."""
        raise NotImplementedError


cdef int note_listener(object context) except -1:
    """Remember `context`, so that a warning can be emitted if one of its hosts gets a setting that it must have."""
    listeners.add(weakref.ref(context, listeners.discard))
    return 0


cdef int warn_of_keys(object context) except -1:
    """Warn before ticket keys are installed on `context` if they have no effect there."""
    for serving in contexts_serving(context):
        warn_of_no_tickets(SSL_CTX_of(serving))
    for listener in listeners_over(context):
        if not has_ticket_keys(SSL_CTX_of(listener)):
            warn_of_keys_of_host()
            break
    return 0


cdef int warn_of_cache(object context, bint always) except -1:
    """Warn before a session cache is installed on `context` if it has no effect there.

    always
        Whether it is to store all sessions, not only those of connections on which a client certificate is requested.
    """
    if not always:
        warn_without_verification(contexts_serving(context))
    for listener in listeners_over(context):
        if stores_of(SSL_CTX_of(listener)) == STORES_NONE:
            warn_of_cache_of_host()
            break
    return 0


cdef list listeners_over(object context):
    """Return the listeners whose connections are switched to `context`; none if it is a listener, too."""
    alive = [listener for listener in [reference() for reference in list(listeners)] if listener is not None]
    if context in alive:
        return []
    return [listener for listener in alive if context in contexts_serving(listener)]


cdef int warn_without_verification(list serving) except -1:
    """Warn if none of these SSLContexts requests a client certificate, and only such sessions are to be stored."""
    for context in serving:
        if SSL_CTX_get_verify_mode(SSL_CTX_of(context)) & SSL_VERIFY_PEER:
            return 0
    warnings.warn(
        "the session cache has almost no effect, because no client certificate is requested, and other sessions keep "
        "their tickets: set verify_mode first (with a HostMap, that of its hosts, and install the HostMap first), or "
        'store all sessions: pass when="always" to SessionCache.install(), or cache_when="always" to resumable() or '
        "SSLContextFactory(), or set PYSIDCTX_CACHE_WHEN=always in the environment", RuntimeWarning)
    return 0


cdef list contexts_serving(object context):
    """Return the SSLContexts that serve connections of `context`: itself, or those to which they are switched."""
    for kept in list(getattr(context, "__dict__", {}).values()):
        if isinstance(kept, Rerouted):
            return (<Rerouted> kept).serving()
    return [context]


cdef int warn_of_host(SSL_CTX *listener, SSL_CTX *host) except -1:
    """Warn if connections of `listener` that are switched to `host` do not get a setting of `host`."""
    if has_ticket_keys(listener):
        warn_of_no_tickets(host)
    elif has_ticket_keys(host):
        warn_of_keys_of_host()
    if stores_of(host) != STORES_NONE and stores_of(listener) == STORES_NONE:
        warn_of_cache_of_host()
    if SSL_CTX_get_keylog_callback(listener) is NULL and SSL_CTX_get_keylog_callback(host) is not NULL:
        warnings.warn("a host's SSLContext has a keylog_filename and the listener has none, so the host's "
                      "handshakes will fail: set keylog_filename on the listener before install()", RuntimeWarning)
    return 0


cdef int warn_of_keys_of_host() except -1:
    warnings.warn("the ticket keys of a host's SSLContext have no effect, because connections use the keys of the "
                  "listener, which has none: call keys.install(listener) first", RuntimeWarning)
    return 0


cdef int warn_of_cache_of_host() except -1:
    warnings.warn("the session cache of a host's SSLContext has no effect, because connections use the cache of the "
                  "listener, which has none: call cache.install(listener) first", RuntimeWarning)
    return 0


cdef int warn_of_no_tickets(SSL_CTX *ctx) except -1:
    if SSL_CTX_get_options(ctx) & SSL_OP_NO_TICKET:
        warnings.warn(
            "the ticket keys have no effect on this SSLContext, because its options contain OP_NO_TICKET, so no "
            "other process can resume its sessions: clear the option with ctx.options &= "
            "~ssl.OP_NO_TICKET. If your program does not set it, openssl.cnf does (Options = -SessionTicket)",
            RuntimeWarning)
    elif SSL_CTX_get_num_tickets(ctx) == 0 and allows_tls13(ctx):
        warnings.warn(
            "the ticket keys have no effect on this SSLContext in TLS 1.3, because its num_tickets is 0: no TLS 1.3 "
            "client can resume a session. Set num_tickets to 1 or more", RuntimeWarning)
    return 0


cdef bint allows_tls13(SSL_CTX *ctx) noexcept:
    cdef int newest = SSL_CTX_get_max_proto_version(ctx)  # 0: the latest version that OpenSSL supports
    return (newest == 0 or newest >= TLS1_3_VERSION) and not SSL_CTX_get_options(ctx) & SSL_OP_NO_TLSv1_3


cdef int warn_without_certificate(object context, SSL_CTX *ctx, str consequence) except -1:
    """Warn if a server's handshakes would fail for lack of a certificate. The message contains `consequence`."""
    # A callback may switch to a context that has one.
    if (SSL_CTX_get0_certificate(ctx) is NULL
            and _ssl._SSLContext.sni_callback.__get__(context) is None
            and not does_without(_ssl._SSLContext.get_ciphers(context))):
        warnings.warn(
            f"this SSLContext has no certificate, {consequence}. If it is to serve without one, with pre-shared "
            "keys or anonymously, select only such ciphers, for example with set_ciphers('PSK')", RuntimeWarning)
    return 0


cdef bint does_without(list ciphers) except -1:
    """Whether these ciphers were chosen to serve anonymously, or with pre-shared keys only.

    OpenSSL does not reveal whether a callback for pre-shared keys is set, and the default ciphers of some builds
    include those for pre-shared keys.
    """
    kinds = [(cipher["auth"], cipher["name"]) for cipher in ciphers if cipher["auth"] != "auth-any"]
    return (any(auth == "auth-null" for auth, _ in kinds)
            or (len(kinds) > 0 and all("PSK" in name or auth == "auth-srp" for auth, name in kinds)))


cdef int warn_of_clients(object context, SSL_CTX *ctx) except -1:
    """Warn if an id context is set for clients' connections on a context that can also serve."""
    if (SSL_CTX_get_ssl_method(ctx) not in (TLS_client_method(), TLS_server_method())
            and _ssl._SSLContext.check_hostname.__get__(context)):
        warnings.warn(
            "the id context has no effect on client connections of this SSLContext: check_hostname shows that it is "
            "for clients, but its protocol also allows servers, and then the id context applies to server "
            "connections only. Use PROTOCOL_TLS_CLIENT, or set the id context on each connection before its "
            "handshake", RuntimeWarning)
    return 0
