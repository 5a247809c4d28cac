"""The Router that a HostMap installs on an SSLContext: it chooses for each ClientHello, in C and without the GIL."""

from libc.stdint cimport uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy

from pysidctx.binding cimport bind_openssl
from pysidctx.handles cimport has_sni_callback
from pysidctx.handshake.client_hello cimport ServerName, offers_tls13
from pysidctx.handshake.listener cimport Connection, Router, is_cpythons, is_routed, keep_former, set_router
from pysidctx.handshake.siphash cimport siphash_value
from pysidctx.hosts.contexts cimport HostContext
from pysidctx.hosts.rejections cimport note_rejection
from pysidctx.hosts.server_names cimport ask_host
from pysidctx.hosts.switch cimport switch_context
from pysidctx.hosts.table cimport (
    HOSTS_MALFORMED, HOSTS_MATCHED, HOSTS_REJECTED, HOSTS_UNMATCHED, host_entry,
    host_table, state_id_length, state_is_wildcard, table_count, table_hold,
    table_match, table_prefetch, table_release,
)
from pysidctx.id_contexts.client_verification cimport are_of_connection, read_connection_demands
from pysidctx.id_contexts.derivation cimport (
    LABEL_NAME, LABEL_NO_NAME, LABEL_UNMATCHED_NAME, LABEL_VERIFICATION, Part, derive_id_context, label, part,
)
from pysidctx.libssl cimport (
    SSL, SSL_AD_DECODE_ERROR, SSL_AD_UNRECOGNIZED_NAME, SSL_get_max_proto_version, SSL_get_options, SSL_OP_NO_TLSv1_3,
    TLS1_3_VERSION,
)
from pysidctx.lockfree.counts cimport COUNT_HOSTS, count_for_all
from pysidctx.lockfree.held_contexts cimport hold_context
from pysidctx.lockfree.id_context_slot cimport sid_slot_read
from pysidctx.lockfree.readers cimport flag_load, shared_load

bind_openssl()


# How the listener was when the map was installed on it.
cdef struct MapRouter:
    Router router      # must be first, because the callback gets a pointer to it
    host_table *table  # holds a reference
    Demands demands
    bint has_fingerprint
    unsigned char fingerprint[SSL_MAX_SID_CTX_LENGTH]


cdef bint set_map(Listener *listener, host_table *table, const Demands *demands,
                  const unsigned char *fingerprint) noexcept nogil:
    """Make `table` choose for the connections of a listener. Returns False if memory runs out.

    `demands` are those of the listener, and `fingerprint` is its fingerprint with them, or NULL if it is not needed.
    """
    cdef MapRouter *map_router = <MapRouter *> calloc(1, sizeof(MapRouter))
    if map_router is NULL:
        return False
    map_router.router.expect = expect_host
    map_router.router.choose = choose_host
    map_router.router.free = free_router
    map_router.table = table_hold(table)
    map_router.demands = demands[0]
    if fingerprint is not NULL:
        map_router.has_fingerprint = True
        memcpy(map_router.fingerprint, fingerprint, SSL_MAX_SID_CTX_LENGTH)
    set_router(listener, &map_router.router)
    return True


cdef bint unset_map(Listener *listener, host_table *table) noexcept nogil:
    """Make `table` stop choosing. Returns False if it did not choose for this listener, which may be NULL."""
    return has_map(listener, table) and set_router(listener, NULL)


cdef bint has_map(Listener *listener, const host_table *table) noexcept nogil:
    """Whether `table` chooses for the connections of a listener, which may be NULL.

    No other map may be installed during the call.
    """
    return (is_routed(listener)
            and (<MapRouter *> shared_load(&listener.router)).table is table)


cdef void free_router(Router *router) noexcept nogil:
    table_release((<MapRouter *> router).table)
    free(router)


cdef void expect_host(Router *router, const siphash_value *host) noexcept nogil:
    table_prefetch((<MapRouter *> router).table, host)


cdef bint choose_host(Router *router, Listener *listener, SSL *ssl, ServerName *name,
                      Connection *connection, int *alert) noexcept nogil:
    cdef MapRouter *map_router = <MapRouter *> router
    cdef host_table *table = map_router.table
    cdef const host_entry *entry = NULL
    cdef uint64_t state
    if flag_load(&table.closed):  # its entries may have been freed
        return False
    if name.malformed:
        count_connection(table, HOSTS_MALFORMED)
        note_rejection(ssl, name)
        alert[0] = SSL_AD_DECODE_ERROR
        return False
    if name.valid:
        entry = table_match(table, &connection.host, name.text, name.length, &state)
    if entry is not NULL:
        count_connection(table, HOSTS_MATCHED)
        return serve_host(map_router, entry, state, ssl, connection, name)
    if flag_load(&table.rejects_unmatched):
        count_connection(table, HOSTS_REJECTED)
        note_rejection(ssl, name)
        alert[0] = SSL_AD_UNRECOGNIZED_NAME
        return False
    count_connection(table, HOSTS_UNMATCHED)
    return connection.own or choose_unmatched(map_router, listener, ssl, connection, name)


cdef void count_connection(host_table *table, unsigned int counter) noexcept nogil:
    table_count(table, counter)
    count_for_all(COUNT_HOSTS + counter)


cdef bint serve_host(MapRouter *map_router, const host_entry *entry, uint64_t state, SSL *ssl,
                     Connection *connection, const ServerName *name) noexcept nogil:
    cdef HostContext *host = <HostContext *> entry.context
    cdef const Demands *demands = &map_router.demands
    connection.named = True
    if host is not NULL:
        hold_context(&host.held)
        connection.context = &host.held
        keep_former(connection, ssl)
        if not switch_context(ssl, host.held.ctx, host.demands.post_handshake_auth):
            return False
        if has_sni_callback(host.held.context):
            ask_host(host.held.ctx)
        demands = &host.demands
    if connection.own:
        return True
    connection.length = state_id_length(state)
    memcpy(connection.id_context, entry.id_context, SSL_MAX_SID_CTX_LENGTH)
    return (bind_to_demands(ssl, connection, demands)
            and (not state_is_wildcard(state) or bind_to_name(ssl, connection, name)))


cdef bint choose_unmatched(MapRouter *map_router, Listener *listener, SSL *ssl,
                           Connection *connection, const ServerName *name) noexcept nogil:
    """Derive an id context that differs from every host's, for unknown names and for connections without a name."""
    cdef unsigned char base[SSL_MAX_SID_CTX_LENGTH]
    cdef unsigned int length = sid_slot_read(&listener.id_context, base)
    cdef unsigned long demands[2]
    cdef Part parts[3]
    read_connection_demands(ssl, demands)
    if map_router.has_fingerprint and is_cpythons(base, length):
        length = SSL_MAX_SID_CTX_LENGTH
        memcpy(base, map_router.fingerprint, length)
    parts[0] = label(LABEL_UNMATCHED_NAME if name.length else LABEL_NO_NAME)
    parts[1] = part(base, length)
    parts[2] = part(demands, sizeof(demands))
    connection.length = SSL_MAX_SID_CTX_LENGTH
    return (derive_id_context(connection.id_context, parts, 3)
            and (name.length == 0 or bind_to_name(ssl, connection, name)))


cdef bint bind_to_demands(SSL *ssl, Connection *connection,
                          const Demands *demands) noexcept nogil:
    """Derive another id context if clients are now verified differently.

    Sessions from before such a change, for example to CERT_REQUIRED, must not be resumed after it. `demands` are
    those for which the id context was chosen.
    """
    cdef unsigned long now[2]
    cdef Part parts[3]
    read_connection_demands(ssl, now)
    if are_of_connection(demands, now):
        return True
    parts[0] = label(LABEL_VERIFICATION)
    parts[1] = part(connection.id_context, connection.length)
    parts[2] = part(now, sizeof(now))
    connection.length = SSL_MAX_SID_CTX_LENGTH
    return derive_id_context(connection.id_context, parts, 3)


cdef bint bind_to_name(SSL *ssl, Connection *connection, const ServerName *name) noexcept nogil:
    """Up to TLS 1.2, separate different names that have the same id context.

    In these versions, a session belongs to one name (RFC 6066, section 3). OpenSSL does not enforce this, and would
    report the name of the session to the application instead of the name in the ClientHello.
    """
    cdef int newest = SSL_get_max_proto_version(ssl)
    cdef Part parts[3]
    if ((newest == 0 or newest >= TLS1_3_VERSION)
            and not SSL_get_options(ssl) & SSL_OP_NO_TLSv1_3 and offers_tls13(ssl)):
        return True
    parts[0] = label(LABEL_NAME)
    parts[1] = part(connection.id_context, connection.length)
    parts[2] = part(name.text, name.length)
    connection.length = SSL_MAX_SID_CTX_LENGTH
    return derive_id_context(connection.id_context, parts, 3)
