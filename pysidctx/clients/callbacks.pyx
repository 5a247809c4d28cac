"""What OpenSSL calls to keep the sessions of a client's connections, and to offer them.

The info callback offers a session when a handshake begins: the server's name is set, the ClientHello is not written
yet. OpenSSL calls the other one for each session that a handshake has made, and for each ticket that TLS 1.3 reads.
What fails in a callback ends in a full handshake.
"""

from libc.stdint cimport UINT64_MAX, uint64_t
from libc.string cimport memcmp

from pysidctx.binding cimport bind_openssl
from pysidctx.clients.session_store cimport (
    HostKey, SessionStore, Terms, count_one, drop_host, drop_session, forget_owner, hold_store,
    lock_stores, process_generation, put_session, release_store, take_session, unlock_stores,
)
from pysidctx.clients.terms cimport ClientContext, forget_state, read_host, read_terms
from pysidctx.errors cimport check, check_pointer
from pysidctx.libssl cimport (
    BIO, BIO_FLAGS_SHOULD_RETRY, BIO_test_flags, CRYPTO_EX_DATA, CRYPTO_EX_dup_from, ERR_pop_to_mark, ERR_set_mark,
    OPENSSL_free, OPENSSL_zalloc, SSL, SSL_CB_CONNECT_EXIT, SSL_CB_HANDSHAKE_DONE, SSL_CB_HANDSHAKE_START,
    SSL_CB_READ_ALERT, SSL_CTX_get_ex_data, SSL_CTX_get_ex_new_index, SSL_CTX_get_info_callback,
    SSL_CTX_get_session_cache_mode, SSL_CTX_sess_get_new_cb, SSL_CTX_sess_set_new_cb, SSL_CTX_set_ex_data,
    SSL_CTX_set_info_callback, SSL_CTX_set_session_cache_mode, SSL_get0_peername, SSL_get_ex_data,
    SSL_get_ex_new_index, SSL_get_fd, SSL_get_rbio, SSL_get_session, SSL_get_SSL_CTX, SSL_get_wbio, SSL_is_server,
    SSL_NOTHING, SSL_READING, SSL_SESS_CACHE_CLIENT, SSL_SESS_CACHE_NO_AUTO_CLEAR, SSL_SESS_CACHE_NO_INTERNAL,
    SSL_SESSION, SSL_SESSION_dup, SSL_SESSION_free, SSL_SESSION_get0_peer, SSL_SESSION_get0_ticket,
    SSL_SESSION_get_protocol_version, SSL_SESSION_get_ticket_lifetime_hint, SSL_SESSION_get_timeout,
    SSL_SESSION_has_ticket, SSL_SESSION_is_resumable, SSL_session_reused, SSL_SESSION_set1_hostname, SSL_set_ex_data,
    SSL_set_session,
    SSL_VERIFY_PEER, SSL_version, SSL_want, SSL_WRITING, TLS1_3_VERSION, new_session_fn,
)
from pysidctx.openssl_compat cimport SSL_SESSION_get_time
from pysidctx.sessions.offer cimport ACCEPTABLE, is_verified, offer
from pysidctx.sessions.peer cimport set_checked
from pysidctx.tickets.expiry cimport unix_time
from pysidctx.tickets.verified_chain cimport verified_until

bind_openssl()

cdef extern from "clients/peer_port.h" nogil:
    unsigned int peer_port "pysidctx_peer_port" (int file)

cdef enum:
    MOST_TICKET = 16384  # bytes: a longer one does not fit into a ClientHello that every server reads
    FATAL = 2            # the level of an alert

# Stored in an SSL's ex_data when its first handshake begins; the SSL owns it and frees it.
cdef struct Attempt:
    SessionStore *store     # holds a reference; NULL if the connection neither offers nor keeps sessions
    uint64_t number         # of the SSL_CTX that it had
    size_t generation       # of the process in which the handshake began
    HostKey key
    void *given             # the session that was offered, which the connection holds; NULL if none was
    SSL_SESSION *offered    # the stored session of which it is a duplicate; holds a reference. NULL if it is not stored
    uint64_t until          # when the offered session ends
    bint finished           # the handshake has ended well
    bint resumed            # by the session that was offered

cdef int context_index, attempt_index
cdef uint64_t contexts = 1  # how many SSL_CTXs have been numbered; 0 and 1 are no numbers of theirs
cdef bint has_former        # whether any SSL_CTX has a former callback


cdef ClientContext *client_context_of(SSL_CTX *ctx) noexcept nogil:
    """Return the ClientContext that is stored in `ctx`, or NULL."""
    return <ClientContext *> SSL_CTX_get_ex_data(ctx, context_index)


cdef bint install_store(SSL_CTX *ctx, SessionStore *store, bint shared, bint later) except -1:
    """Keep the sessions of the client connections of `ctx` in `store`. Calls for one `ctx` must not overlap.

    If `later` is set, `ctx` may be a server's, which remains as it is; it changes when the first client's handshake
    begins. Raises Error.
    """
    cdef ClientContext *context = client_context_of(ctx)
    cdef SessionStore *former
    if context is NULL:
        context = new_context(ctx)
    lock_stores()
    former = context.store
    hold_store(store)
    context.store = store
    context.shared = shared
    context.pending = True
    if not context.listed and context.known and former is not store:
        store.counts.unlisted += 1
    if not later:
        keep_sessions(ctx, context)
    unlock_stores()
    leave_store(former, context.number)
    return True


cdef void keep_sessions(SSL_CTX *ctx, ClientContext *context) noexcept nogil:
    """Have OpenSSL report new sessions. Called with the stores' lock."""
    cdef new_session_fn former = SSL_CTX_sess_get_new_cb(ctx)
    context.pending = False
    if former is not on_new_session:
        context.former_new = former
        SSL_CTX_sess_set_new_cb(ctx, on_new_session)
    if not context.active:
        context.active = True
        context.former_mode = SSL_CTX_get_session_cache_mode(ctx)
    SSL_CTX_set_session_cache_mode(
        ctx, context.former_mode | SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL | SSL_SESS_CACHE_NO_AUTO_CLEAR)


cdef bint is_reported(SSL_CTX *ctx) noexcept nogil:
    """Whether new sessions are reported to somebody else, such as TicketKeys, who serves with this SSL_CTX."""
    cdef new_session_fn former = SSL_CTX_sess_get_new_cb(ctx)
    return former is not NULL and former is not on_new_session


cdef ClientContext *new_context(SSL_CTX *ctx) except NULL:
    global contexts, has_former
    cdef ClientContext *context = <ClientContext *> check_pointer(
        OPENSSL_zalloc(sizeof(ClientContext)), b"OPENSSL_zalloc()")
    lock_stores()
    contexts += 1
    context.number = contexts
    unlock_stores()
    context.former_info = SSL_CTX_get_info_callback(ctx)
    if not SSL_CTX_set_ex_data(ctx, context_index, context):
        OPENSSL_free(context)
        check(0, b"SSL_CTX_set_ex_data()")
    if context.former_info is not NULL:
        has_former = True
    SSL_CTX_set_info_callback(ctx, on_info)
    return context


cdef bint uninstall_store(SSL_CTX *ctx, SessionStore *store) except -1:
    """Neither keep nor offer sessions any more. Returns False if `ctx` does not use `store`.

    The info callback stays installed, because connections have a copy. A handshake may still be about to call either.
    """
    cdef ClientContext *context = client_context_of(ctx)
    cdef bint found
    if context is NULL:
        return False
    lock_stores()
    found = context.store is store
    if found:
        context.store = NULL
        if context.active:
            context.active = False
            SSL_CTX_set_session_cache_mode(ctx, context.former_mode)
            if SSL_CTX_sess_get_new_cb(ctx) is on_new_session:
                SSL_CTX_sess_set_new_cb(ctx, context.former_new)
    unlock_stores()
    if found:
        leave_store(store, context.number)
    return found


cdef void leave_store(SessionStore *store, uint64_t number) noexcept nogil:
    """Give the reference of an SSL_CTX back, with the sessions that are its own. `store` may be NULL."""
    if store is not NULL:
        forget_owner(store, number)
        release_store(store)


cdef void free_context(void *ctx, void *stored, CRYPTO_EX_DATA *ad, int index, long argl, void *argp) noexcept nogil:
    cdef ClientContext *context = <ClientContext *> stored
    if context is not NULL:
        leave_store(context.store, context.number)
        forget_state(context)
        OPENSSL_free(context)


cdef void on_info(const SSL *connection, int where, int value) noexcept nogil:
    """See SSL_CTX_set_info_callback(3)."""
    cdef SSL *ssl = <SSL *> connection
    cdef ClientContext *context
    if where == SSL_CB_HANDSHAKE_START:
        if not SSL_is_server(ssl):
            ERR_set_mark()
            begin(ssl)
            ERR_pop_to_mark()
    elif where == SSL_CB_HANDSHAKE_DONE:
        finish(attempt_of(ssl), ssl)
    elif where == SSL_CB_CONNECT_EXIT:
        if value <= 0 and has_failed(ssl):
            fail(attempt_of(ssl))
    elif where == SSL_CB_READ_ALERT:
        # In TLS 1.3, a server can refuse what the client has sent last, when that has finished.
        if value >> 8 == FATAL:
            fail(attempt_of(ssl))
    if has_former:
        context = client_context_of(SSL_get_SSL_CTX(ssl))
        if context is not NULL and context.former_info is not NULL:
            context.former_info(connection, where, value)


cdef int on_new_session(SSL *ssl, SSL_SESSION *session) noexcept nogil:
    """See SSL_CTX_sess_set_new_cb(3). Returns 0, because this function keeps no reference to `session`."""
    cdef ClientContext *context = client_context_of(SSL_get_SSL_CTX(ssl))
    if not SSL_is_server(ssl):
        ERR_set_mark()
        keep(attempt_of(ssl), ssl, session)
        ERR_pop_to_mark()
    if context is not NULL and context.former_new is not NULL:
        return context.former_new(ssl, session)
    return 0


cdef inline Attempt *attempt_of(SSL *ssl) noexcept nogil:
    return <Attempt *> SSL_get_ex_data(ssl, attempt_index)


cdef void begin(SSL *ssl) noexcept nogil:
    """A handshake begins, on a connection without a session: offer one. Otherwise note what its terms are."""
    cdef SSL_CTX *ctx = SSL_get_SSL_CTX(ssl)
    cdef ClientContext *context = client_context_of(ctx)
    cdef Attempt *attempt = attempt_of(ssl)
    cdef SessionStore *store = NULL
    if attempt is not NULL:
        empty(attempt)
    if context is not NULL:
        lock_stores()
        store = context.store
        if store is not NULL:
            hold_store(store)
            if context.pending and not is_reported(ctx):
                keep_sessions(ctx, context)
        unlock_stores()
    if store is NULL:
        return
    if attempt is NULL:
        attempt = <Attempt *> OPENSSL_zalloc(sizeof(Attempt))
        if attempt is NULL or not SSL_set_ex_data(ssl, attempt_index, attempt):
            OPENSSL_free(attempt)
            release_store(store)
            return
    if not read_host(ssl, &attempt.key) or not read_terms(ssl, ctx, context, &attempt.key.terms):
        release_store(store)
        return
    attempt.store = store
    attempt.number = context.number
    attempt.generation = process_generation()
    if SSL_get_session(ssl) is NULL:
        offer_stored(attempt, ssl)
    else:
        spare_session(ssl)  # the user's own, or a renegotiation


cdef void offer_stored(Attempt *attempt, SSL *ssl) noexcept nogil:
    cdef bint taken
    cdef SSL_SESSION *session = take_session(attempt.store, &attempt.key, ssl, &attempt.until, &taken)
    cdef SSL_SESSION *given
    if session is NULL:
        return
    # OpenSSL may mark a connection's session as not resumable.
    given = session if taken else SSL_SESSION_dup(session)
    if given is not NULL and offer(ssl, given) == ACCEPTABLE:
        attempt.given = given
        count_one(&attempt.store.counts.offered)
        if not taken:
            attempt.offered = session
            session = NULL
    if not taken:
        SSL_SESSION_free(session)
    SSL_SESSION_free(given)  # the connection has a reference of its own


cdef void spare_session(SSL *ssl) noexcept nogil:
    """Let the connection have a duplicate of the session that the user has set.

    Where clients keep sessions, OpenSSL marks one of TLS 1.3 as not resumable that was resumed, but the user may offer
    it again.
    """
    cdef SSL_SESSION *session = SSL_get_session(ssl)
    cdef SSL_SESSION *copy
    if SSL_SESSION_get_protocol_version(session) == TLS1_3_VERSION and SSL_SESSION_is_resumable(session):
        copy = SSL_SESSION_dup(session)
        if copy is not NULL:
            SSL_set_session(ssl, copy)  # if it fails, the connection keeps the one that it has
        SSL_SESSION_free(copy)


cdef void finish(Attempt *attempt, SSL *ssl) noexcept nogil:
    """A handshake has ended well."""
    cdef SSL_SESSION *session
    if attempt is NULL or attempt.store is NULL or attempt.finished:
        return
    attempt.finished = True
    if attempt.given is NULL:
        return
    session = SSL_get_session(ssl)
    attempt.resumed = SSL_session_reused(ssl)
    if not attempt.resumed:
        count_one(&attempt.store.counts.declined)
        if attempt.offered is not NULL:
            drop_session(attempt.store, &attempt.key, attempt.offered, peer_port(SSL_get_fd(ssl)))
    else:
        count_one(&attempt.store.counts.resumed)
        # OpenSSL does not report a ticket that TLS 1.2 has renewed.
        if session is not attempt.given and SSL_version(ssl) != TLS1_3_VERSION:
            ERR_set_mark()
            keep(attempt, ssl, session)
            ERR_pop_to_mark()
    SSL_SESSION_free(attempt.offered)
    attempt.offered = NULL


cdef bint has_failed(SSL *ssl) noexcept nogil:
    """Whether a handshake that returned without success will not go on: it waits for nothing."""
    cdef int want = SSL_want(ssl)
    if want not in (SSL_NOTHING, SSL_READING, SSL_WRITING):
        return False  # for a callback of the user's
    return not (is_to_retry(SSL_get_rbio(ssl)) or is_to_retry(SSL_get_wbio(ssl)))


cdef bint is_to_retry(BIO *bio) noexcept nogil:
    return bio is not NULL and BIO_test_flags(bio, BIO_FLAGS_SHOULD_RETRY)


cdef void fail(Attempt *attempt) noexcept nogil:
    """The connection has failed. If that may be for the session that it offered, drop all of the host."""
    if attempt is NULL or attempt.store is NULL or attempt.given is NULL or (attempt.finished and not attempt.resumed):
        return
    drop_host(attempt.store, &attempt.key)
    attempt.given = NULL


cdef void keep(Attempt *attempt, SSL *ssl, SSL_SESSION *session) noexcept nogil:
    """Store a duplicate of a session, unless it must not be resumed."""
    cdef uint64_t until
    cdef bint tls13 = SSL_SESSION_get_protocol_version(session) == TLS1_3_VERSION
    cdef SSL_SESSION *copy
    # The other process that has this connection since a fork may read the same ticket.
    if (attempt is NULL or attempt.store is NULL or attempt.generation != process_generation()
            or not SSL_SESSION_is_resumable(session)
            or not is_authenticated(attempt, ssl, session)):
        return
    until = end_of(attempt, ssl, session)
    if until <= unix_time():
        return
    if not is_short(session) or not has_same_terms(attempt, ssl):
        count_one(&attempt.store.counts.dropped)
        return
    copy = SSL_SESSION_dup(session)
    if copy is NULL:
        return
    if (not set_checked(copy, attempt.key.terms.checks_name != 0)
            or not (attempt.key.is_address or SSL_SESSION_set1_hostname(copy, attempt.key.name))):
        SSL_SESSION_free(copy)
        return
    put_session(attempt.store, &attempt.key, copy, until, peer_port(SSL_get_fd(ssl)),
                tls13 and attempt.store.single_use)


cdef bint is_authenticated(Attempt *attempt, SSL *ssl, SSL_SESSION *session) noexcept nogil:
    """Whether the peer of a session has authenticated itself, as the terms of the connection demand.

    Not by a pre-shared key: the next connection may have another one. A session that the user has set himself may have
    been made on other terms.
    """
    if SSL_SESSION_get0_peer(session) is NULL:
        return False
    if SSL_session_reused(ssl):
        return attempt.given is not NULL
    if attempt.key.terms.verify_mode & SSL_VERIFY_PEER and not is_verified(ssl, session):
        return False
    # Where OpenSSL does not tell whether the name is to be checked, it tells for which one it was.
    return attempt.key.terms.checks_name != 2 or SSL_get0_peername(ssl) is not NULL


cdef uint64_t end_of(Attempt *attempt, SSL *ssl, SSL_SESSION *session) noexcept nogil:
    """Return the first second, as a Unix time, in which a session must not be offered any more."""
    # A resumed handshake verifies no certificates.
    return min(own_end_of(session), attempt.until if SSL_session_reused(ssl) else verified_until(ssl))


cdef uint64_t own_end_of(SSL_SESSION *session) noexcept nogil:
    """Like end_of(), by what the session itself contains."""
    cdef uint64_t made = <uint64_t> SSL_SESSION_get_time(session)
    cdef uint64_t until = made + <uint64_t> SSL_SESSION_get_timeout(session)
    cdef uint64_t lifetime = SSL_SESSION_get_ticket_lifetime_hint(session)
    # In TLS 1.2, 0 leaves it to the client (RFC 5077, section 3.3).
    if SSL_SESSION_has_ticket(session) and (
            lifetime > 0 or SSL_SESSION_get_protocol_version(session) == TLS1_3_VERSION):
        until = min(until, made + lifetime)
    return until


cdef bint is_short(SSL_SESSION *session) noexcept nogil:
    cdef const unsigned char *ticket
    cdef size_t length = 0
    SSL_SESSION_get0_ticket(session, &ticket, &length)
    return length <= MOST_TICKET


cdef bint has_same_terms(Attempt *attempt, SSL *ssl) noexcept nogil:
    """Whether the terms of a connection are still those on which its handshake began."""
    cdef Terms terms
    cdef SSL_CTX *ctx = SSL_get_SSL_CTX(ssl)
    cdef ClientContext *context = client_context_of(ctx)
    return (context is not NULL and context.number == attempt.number and context.store is attempt.store
            and read_terms(ssl, ctx, context, &terms)
            and memcmp(&terms, &attempt.key.terms, sizeof(Terms)) == 0)


cdef void empty(Attempt *attempt) noexcept nogil:
    """Forget a handshake. One that has offered a session and did not end has failed."""
    if not attempt.finished:
        fail(attempt)
    SSL_SESSION_free(attempt.offered)
    release_store(attempt.store)
    attempt.store = NULL
    attempt.offered = NULL
    attempt.given = NULL
    attempt.finished = attempt.resumed = False
    attempt.until = UINT64_MAX


cdef void free_attempt(void *ssl, void *attempt, CRYPTO_EX_DATA *ad, int index, long argl,
                       void *argp) noexcept nogil:
    if attempt is not NULL:
        empty(<Attempt *> attempt)
        OPENSSL_free(attempt)


cdef int drop_attempt(CRYPTO_EX_DATA *to, const CRYPTO_EX_DATA *original, CRYPTO_EX_dup_from attempt, int index,
                      long argl, void *argp) noexcept nogil:
    # A copy by SSL_dup() has had no handshake. It gets the pointer that this function leaves in `attempt`.
    (<void **> attempt)[0] = NULL
    return 1


context_index = check(SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, free_context), b"SSL_CTX_get_ex_new_index()")
attempt_index = check(SSL_get_ex_new_index(0, NULL, NULL, drop_attempt, free_attempt), b"SSL_get_ex_new_index()")
