"""What a HostMap has installed on an SSLContext: the choice for one ClientHello, in C, without the GIL."""

from libc.stdint cimport uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp, memcpy, memset, strlen

from pysidctx.client_hello cimport ServerName, offers_tls13
from pysidctx.contexts cimport HeldContext, hold, shared_pointer
from pysidctx.demands cimport Demands, connection_mode
from pysidctx.errors cimport check_pointer
from pysidctx.handles cimport has_sni_callback
from pysidctx.host_table cimport (
    HOSTS_MALFORMED, HOSTS_MATCHED, HOSTS_REJECTED, HOSTS_UNMATCHED, flag_load, host_entry,
    host_table, state_id_length, state_is_wildcard, table_count, table_hold,
    table_match, table_prefetch, table_release,
)
from pysidctx.libssl cimport (
    EVP_Digest, EVP_MD, SSL, SSL_AD_DECODE_ERROR, SSL_AD_UNRECOGNIZED_NAME,
    SSL_get0_param, SSL_get_max_proto_version, SSL_get_options, SSL_get_verify_mode, SSL_OP_NO_TLSv1_3,
    TLS1_3_VERSION, X509_VERIFY_PARAM_get_flags, fetched_sha256,
)
from pysidctx.listener cimport Connection, Router, keep_former, set_router, sid_slot_read
from pysidctx.server_names cimport ask_host
from pysidctx.siphash cimport siphash_value
from pysidctx.switch cimport switch_context

cdef extern from "readers.h" nogil:
    void *shared_load(shared_pointer *pointer)


# How the listener was when the map was installed on it.
cdef struct Installed:
    Router router      # first: what the callback sees is this
    host_table *table  # a reference of its own
    Demands demands
    bint has_fingerprint
    unsigned char fingerprint[SSL_MAX_SID_CTX_LENGTH]

cdef const char *CPYTHON = b"Python\0"
cdef enum:
    CPYTHON_LENGTH = 7

cdef EVP_MD *sha256 = <EVP_MD *> check_pointer(fetched_sha256(), b"EVP_MD_fetch()")


cdef bint install(Listener *listener, host_table *table, const Demands *demands,
                  const unsigned char *fingerprint) noexcept nogil:
    """Have `table` choose for the connections of a listener; False where memory ran out.

    `demands` are those of the listener, `fingerprint` what it has with these; NULL: none is needed.
    """
    cdef Installed *installed = <Installed *> calloc(1, sizeof(Installed))
    if installed is NULL:
        return False
    installed.router.expect = expect
    installed.router.choose = choose
    installed.router.free = uninstalled
    installed.table = table_hold(table)
    installed.demands = demands[0]
    if fingerprint is not NULL:
        installed.has_fingerprint = True
        memcpy(installed.fingerprint, fingerprint, SSL_MAX_SID_CTX_LENGTH)
    set_router(listener, &installed.router)
    return True


cdef bint uninstall(Listener *listener, host_table *table) noexcept nogil:
    """Have `table` choose no more; False where it did not. `listener` may be NULL."""
    return is_installed(listener, table) and set_router(listener, NULL)


cdef bint is_installed(Listener *listener, const host_table *table) noexcept nogil:
    """Whether `table` chooses for the connections of a listener, which may be NULL.

    Not while another is installed.
    """
    return (is_routed(listener)
            and (<Installed *> shared_load(&listener.router)).table is table)


cdef bint is_routed(Listener *listener) noexcept nogil:
    return listener is not NULL and shared_load(&listener.router) is not NULL


cdef void uninstalled(Router *router) noexcept nogil:
    table_release((<Installed *> router).table)
    free(router)


cdef bint has_own_id_context(Listener *listener) noexcept nogil:
    """Whether the id context of `listener` is another than CPython's."""
    cdef unsigned char found[SSL_MAX_SID_CTX_LENGTH]
    return not is_cpythons(found, sid_slot_read(&listener.id_context, found))


cdef bint is_cpythons(const unsigned char *sid_ctx, unsigned int length) noexcept nogil:
    return length == CPYTHON_LENGTH and memcmp(sid_ctx, CPYTHON, CPYTHON_LENGTH) == 0


cdef void expect(Router *router, const siphash_value *host) noexcept nogil:
    table_prefetch((<Installed *> router).table, host)


cdef bint choose(Router *router, Listener *listener, SSL *ssl, ServerName *name,
                 Connection *connection, int *alert) noexcept nogil:
    cdef Installed *installed = <Installed *> router
    cdef host_table *table = installed.table
    cdef const host_entry *entry = NULL
    cdef uint64_t state
    if flag_load(&table.closed):  # its entries may be gone
        return False
    if name.malformed:
        table_count(table, HOSTS_MALFORMED)
        alert[0] = SSL_AD_DECODE_ERROR
        return False
    if name.valid:
        entry = table_match(table, &connection.host, name.text, name.length, &state)
    if entry is not NULL:
        table_count(table, HOSTS_MATCHED)
        return serve_host(installed, entry, state, ssl, connection, name)
    if flag_load(&table.rejects_unmatched):
        table_count(table, HOSTS_REJECTED)
        alert[0] = SSL_AD_UNRECOGNIZED_NAME
        return False
    table_count(table, HOSTS_UNMATCHED)
    return connection.own or choose_unmatched(installed, listener, ssl, connection, name)


cdef bint serve_host(Installed *installed, const host_entry *entry, uint64_t state, SSL *ssl,
                     Connection *connection, const ServerName *name) noexcept nogil:
    cdef HeldContext *held = <HeldContext *> entry.context
    cdef const Demands *demands = &installed.demands
    connection.named = True
    if held is not NULL:
        hold(held)
        connection.context = held
        keep_former(connection, ssl)
        if not switch_context(ssl, held.ctx, held.demands.post_handshake_auth):
            return False
        if has_sni_callback(held.context):
            ask_host(held.ctx)
        demands = &held.demands
    if connection.own:
        return True
    connection.length = state_id_length(state)
    memcpy(connection.id_context, entry.id_context, SSL_MAX_SID_CTX_LENGTH)
    return (bind_to_demands(ssl, connection, demands)
            and (not state_is_wildcard(state) or bind_to_name(ssl, connection, name)))


cdef bint choose_unmatched(Installed *installed, Listener *listener, SSL *ssl,
                           Connection *connection, const ServerName *name) noexcept nogil:
    """An id context apart from every host's, for unknown names and for none."""
    cdef unsigned char base[SSL_MAX_SID_CTX_LENGTH]
    cdef unsigned int length = sid_slot_read(&listener.id_context, base)
    cdef const char *kind = b"pysidctx unmatched name" if name.length else b"pysidctx no name"
    cdef unsigned long demands[2]
    cdef Part parts[3]
    read_connection_demands(ssl, demands)
    if installed.has_fingerprint and is_cpythons(base, length):
        length = SSL_MAX_SID_CTX_LENGTH
        memcpy(base, installed.fingerprint, length)
    parts[0] = part(kind, strlen(kind))
    parts[1] = part(base, length)
    parts[2] = part(demands, sizeof(demands))
    connection.length = SSL_MAX_SID_CTX_LENGTH
    return (derive(connection.id_context, parts, 3)
            and (name.length == 0 or bind_to_name(ssl, connection, name)))


cdef void read_connection_demands(SSL *ssl, unsigned long *demands) noexcept nogil:
    """The connection's own: those of its SSL_CTX may have changed since SSL_new()."""
    demands[0] = SSL_get_verify_mode(ssl)
    demands[1] = X509_VERIFY_PARAM_get_flags(SSL_get0_param(ssl))


cdef bint bind_to_demands(SSL *ssl, Connection *connection,
                          const Demands *demands) noexcept nogil:
    """Take another id context where clients are verified otherwise than in the past.

    Sessions from before such a change, as to CERT_REQUIRED, must not resume after it. `demands` are
    those that the id context was chosen for.
    """
    cdef unsigned long now[2]
    cdef Part parts[3]
    cdef const char *kind = b"pysidctx verification"
    read_connection_demands(ssl, now)
    if (now[0] == <unsigned long> connection_mode(demands.verify_mode, demands.post_handshake_auth)
            and now[1] == demands.verify_flags):
        return True
    parts[0] = part(kind, strlen(kind))
    parts[1] = part(connection.id_context, connection.length)
    parts[2] = part(now, sizeof(now))
    connection.length = SSL_MAX_SID_CTX_LENGTH
    return derive(connection.id_context, parts, 3)


cdef bint bind_to_name(SSL *ssl, Connection *connection, const ServerName *name) noexcept nogil:
    """Up to TLS 1.2, keep the names apart that have one id context.

    There a session belongs to one name (RFC 6066, section 3). OpenSSL leaves that to us, and would
    tell the application the name of the session instead of that in the ClientHello.
    """
    cdef int newest = SSL_get_max_proto_version(ssl)
    cdef Part parts[3]
    cdef const char *kind = b"pysidctx name"
    if ((newest == 0 or newest >= TLS1_3_VERSION)
            and not SSL_get_options(ssl) & SSL_OP_NO_TLSv1_3 and offers_tls13(ssl)):
        return True
    parts[0] = part(kind, strlen(kind))
    parts[1] = part(connection.id_context, connection.length)
    parts[2] = part(name.text, name.length)
    connection.length = SSL_MAX_SID_CTX_LENGTH
    return derive(connection.id_context, parts, 3)


cdef bint derive(unsigned char *sid_ctx, const Part *parts, int count) noexcept nogil:
    """What derive_session_id_context() makes of these parts; False where OpenSSL fails.

    At most PARTS_MAX of them, each of at most PART_MAX bytes. `sid_ctx` may be among them.
    """
    cdef unsigned char text[PARTS_MAX * (8 + PART_MAX)]
    cdef size_t length = 0
    cdef int i
    for i in range(count):
        memset(text + length, 0, 7)
        text[length + 7] = <unsigned char> parts[i].length
        memcpy(text + length + 8, parts[i].data, parts[i].length)
        length += 8 + parts[i].length
    return EVP_Digest(text, length, sid_ctx, NULL, sha256, NULL)
