"""What OpenSSL calls to keep the sessions of a listener's connections in a Cache, and to find them.

The ClientHello callback decides for each connection whether its sessions are stored: if so, OpenSSL issues no tickets
on it (in TLS 1.3, tickets that are names of stored sessions). OpenSSL passes the other callbacks neither an argument
nor the listener, so the decision is recorded on the connection.

In TLS 1.2, OpenSSL reports a session after it has sent the last message, and a client may be back by then, at another
worker. So the session is stored one message earlier.
"""

from libc.stdint cimport uint64_t
from libc.string cimport memcmp, memcpy

from pysidctx.binding cimport bind_openssl
from pysidctx.cache.store cimport (
    Cache, end_session, find_session, hold_cache, release_cache, store_session,
)
from pysidctx.cache.templates cimport TEMPLATE_KEY_LENGTH
from pysidctx.errors cimport check, check_pointer
from pysidctx.handshake.late_switches cimport may_resume
from pysidctx.handshake.listener cimport (
    Listener, STORES_ALL, STORES_NONE, STORES_WITH_CERTIFICATES, Store, count_resumed, listener_made, listener_of,
    set_store,
)
from pysidctx.libssl cimport (
    CRYPTO_EX_DATA, CRYPTO_EX_dup_from, ERR_clear_error, ERR_pop_to_mark, ERR_set_mark, OPENSSL_clear_free,
    OPENSSL_free, OPENSSL_zalloc, SSL, SSL_CB_ACCEPT_LOOP, SSL_CTX, SSL_CTX_get_session_cache_mode,
    SSL_CTX_sess_set_get_cb, SSL_CTX_sess_set_new_cb, SSL_CTX_set_info_callback, SSL_CTX_set_session_cache_mode,
    SSL_get_ex_data, SSL_get_ex_new_index, SSL_get_options, SSL_get_session,
    SSL_get_verify_mode, SSL_MAX_SSL_SESSION_ID_LENGTH, SSL_OP_NO_TICKET, SSL_SESS_CACHE_NO_AUTO_CLEAR,
    SSL_SESS_CACHE_NO_INTERNAL, SSL_SESS_CACHE_SERVER, SSL_SESSION, SSL_SESSION_free, SSL_SESSION_get0_id_context,
    SSL_SESSION_get0_peer, SSL_SESSION_get_id, SSL_SESSION_get_timeout, SSL_session_reused, SSL_set_ex_data,
    SSL_set_options, SSL_state_string, SSL_VERIFY_PEER, SSL_version, TLS1_3_VERSION, X509, X509_free, X509_up_ref,
)
from pysidctx.lockfree.counts cimport COUNT_RESUMED_STORED
from pysidctx.lockfree.readers cimport atomic_thread_fence, flag_store, memory_order_release, shared_load
from pysidctx.openssl_compat cimport SSL_SESSION_get_time
from pysidctx.tickets.callbacks cimport lacks_certificate, refuse_other_callback, write_times_of_tickets
from pysidctx.tickets.expiry cimport end_at, on_session_made, unix_time
from pysidctx.tickets.times cimport Times, read_times
from pysidctx.tickets.verified_chain cimport verified_until

bind_openssl()

cdef enum:
    # Seconds for which a TLS 1.3 session can still be resumed after it was: a client may open several connections
    # at once with its only ticket.
    GRACE = 60

# A Store of the handshake's floor that keeps sessions in a Cache. The listener owns it.
cdef struct CacheStore:
    Store store
    Cache *cache          # holds a reference
    SSL_CTX *listener     # which owns this
    bint always           # also where no client certificate is requested
    long former_mode      # of OpenSSL's cache, to be restored

# Stored in an SSL's ex_data when its ClientHello is read; the SSL owns it and frees it.
cdef struct Kept:
    Cache *cache          # holds a reference
    SSL_CTX *listener     # which created the connection, and lives as long
    bint found            # a session was found for it
    bint ended            # and will end soon, because it was resumed
    unsigned char id[SSL_MAX_SSL_SESSION_ID_LENGTH]   # of that session
    # The key of the template of sessions with this client certificate (or without one), if a session was found and
    # resumed, or one was stored.
    unsigned char key[TEMPLATE_KEY_LENGTH]
    X509 *peer            # may be NULL; holds a reference
    bint stored
    bint early            # stored before OpenSSL reports it

cdef int kept_index


cdef int use_cache(SSL_CTX *ctx, Cache *cache, bint always) except -1:
    """Keep the sessions of the connections that `ctx` creates in `cache`. Calls for one `ctx` must not overlap."""
    cdef Listener *listener = listener_made(ctx)
    cdef CacheStore *former = <CacheStore *> shared_load(&listener.store)
    cdef CacheStore *made
    refuse_other_callback(ctx)
    write_times_of_tickets(ctx)
    made = <CacheStore *> check_pointer(OPENSSL_zalloc(sizeof(CacheStore)), b"OPENSSL_zalloc()")
    made.store.prepare = prepare
    made.store.free = free_store
    made.store.lifetime = cache.lifetime
    made.cache = cache
    made.listener = ctx
    made.always = always
    made.former_mode = SSL_CTX_get_session_cache_mode(ctx) if former is NULL else former.former_mode
    hold_cache(cache)
    if not listener.has_store_callbacks:
        listener.has_store_callbacks = True
        SSL_CTX_sess_set_get_cb(ctx, on_session_wanted)
        SSL_CTX_sess_set_new_cb(ctx, on_session_kept)
        SSL_CTX_set_info_callback(ctx, on_handshake_state)
        atomic_thread_fence(memory_order_release)
    SSL_CTX_set_session_cache_mode(
        ctx, SSL_SESS_CACHE_SERVER | SSL_SESS_CACHE_NO_INTERNAL | SSL_SESS_CACHE_NO_AUTO_CLEAR)
    set_store(listener, &made.store)
    flag_store(&listener.stores, STORES_ALL if always else STORES_WITH_CERTIFICATES)
    return 0


cdef bint stop_using_cache(SSL_CTX *ctx, Cache *cache) except -1:
    """Make OpenSSL keep the sessions of `ctx` again. Returns False if it did not use `cache`.

    The callbacks stay installed: a handshake may be about to call them.
    """
    cdef Listener *listener = listener_of(ctx)
    cdef CacheStore *store
    if listener is NULL:
        return False
    store = <CacheStore *> shared_load(&listener.store)
    if store is NULL or store.cache is not cache:
        return False
    SSL_CTX_set_session_cache_mode(ctx, store.former_mode)
    set_store(listener, NULL)
    flag_store(&listener.stores, STORES_NONE)
    return True


cdef Cache *cache_of(SSL_CTX *ctx, bint *always) noexcept nogil:
    """Return the Cache that the connections of `ctx` use, and whether all of them do; NULL if they use none.

    Calls for one `ctx` must not overlap.
    """
    cdef Listener *listener = listener_of(ctx)
    cdef CacheStore *store = NULL if listener is NULL else <CacheStore *> shared_load(&listener.store)
    if store is NULL:
        return NULL
    always[0] = store.always
    return store.cache


cdef void free_store(Store *store) noexcept nogil:
    release_cache((<CacheStore *> store).cache)
    OPENSSL_free(store)


cdef void prepare(Store *store, SSL *ssl) noexcept nogil:
    """Decide whether the sessions of a connection are stored. If memory runs out, it gets tickets."""
    cdef CacheStore *cached = <CacheStore *> store
    cdef Kept *kept
    kept = <Kept *> OPENSSL_zalloc(sizeof(Kept))
    if kept is NULL or not SSL_set_ex_data(ssl, kept_index, kept):
        OPENSSL_free(kept)
        # The handshake continues, so no error may remain in the queue, which was empty when it began.
        ERR_clear_error()
        return
    kept.cache = cached.cache
    kept.listener = cached.listener
    hold_cache(kept.cache)
    if cached.always or SSL_get_verify_mode(ssl) & SSL_VERIFY_PEER:
        SSL_set_options(ssl, SSL_OP_NO_TICKET)


cdef inline Kept *kept_on(SSL *ssl) noexcept nogil:
    return <Kept *> SSL_get_ex_data(ssl, kept_index)


cdef SSL_SESSION *on_session_wanted(SSL *ssl, const unsigned char *id, int length, int *copy) noexcept nogil:
    """See SSL_CTX_sess_set_get_cb(3). OpenSSL takes over the session, and compares its id context."""
    cdef Kept *kept = kept_on(ssl)
    cdef SSL_SESSION *session
    copy[0] = 0
    if kept is NULL or length != SSL_MAX_SSL_SESSION_ID_LENGTH:
        return NULL
    kept.found = False  # after a HelloRetryRequest, it is looked up again
    ERR_set_mark()
    session = find_session(kept.cache, ssl, id, unix_time(), kept.key)
    ERR_pop_to_mark()
    if session is not NULL and (lacks_certificate(ssl, session) or not may_resume(ssl, kept.listener)):
        SSL_SESSION_free(session)
        session = NULL
    if session is not NULL and remember_peer(kept, session):
        memcpy(kept.id, id, SSL_MAX_SSL_SESSION_ID_LENGTH)
        kept.found = True
        count_resumed(ssl, session, COUNT_RESUMED_STORED)
    return session


cdef bint remember_peer(Kept *kept, SSL_SESSION *session) noexcept nogil:
    cdef X509 *peer = SSL_SESSION_get0_peer(session)
    if peer is not NULL and not X509_up_ref(peer):
        return False
    # The reference keeps its address from becoming another certificate's.
    X509_free(kept.peer)
    kept.peer = peer
    return True


cdef void on_handshake_state(const SSL *ssl, int where, int value) noexcept nogil:
    """See SSL_CTX_set_info_callback(3). Stores a session of TLS 1.2 before the Finished message is made.

    The client's Finished message was verified by then. Another version has no such state on a server.
    """
    cdef Kept *kept
    if where != SSL_CB_ACCEPT_LOOP or SSL_session_reused(ssl) or memcmp(SSL_state_string(ssl), b"TWCCS", 5):
        return
    kept = kept_on(<SSL *> ssl)
    if kept is not NULL and would_be_reported(ssl, kept):
        on_session_kept(<SSL *> ssl, SSL_get_session(ssl))
        kept.early = True


cdef bint would_be_reported(const SSL *ssl, Kept *kept) noexcept nogil:
    """Whether OpenSSL calls on_session_kept() after the handshake: its own conditions."""
    cdef SSL_SESSION *session = SSL_get_session(ssl)
    cdef unsigned int length = 0
    if session is NULL or not SSL_CTX_get_session_cache_mode(kept.listener) & SSL_SESS_CACHE_SERVER:
        return False
    SSL_SESSION_get_id(session, &length)
    if length and SSL_get_verify_mode(ssl) & SSL_VERIFY_PEER:
        SSL_SESSION_get0_id_context(session, &length)
    return length > 0


cdef int on_session_kept(SSL *ssl, SSL_SESSION *session) noexcept nogil:
    """See SSL_CTX_sess_set_new_cb(3): OpenSSL has made a session, or a ticket. Returns 0: it keeps no reference."""
    cdef Kept *kept = kept_on(ssl)
    cdef bint tls13 = SSL_version(ssl) == TLS1_3_VERSION
    cdef uint64_t now = unix_time()
    cdef Times times
    if kept is not NULL and kept.early:
        kept.early = False  # a renegotiation may make another
        return 0
    if kept is NULL or tls13:
        on_session_made(ssl, session)
    # In TLS 1.3 OpenSSL calls this for tickets that hold the session themselves, too.
    if kept is NULL or (tls13 and not SSL_get_options(ssl) & SSL_OP_NO_TICKET):
        return 0
    ERR_set_mark()
    if times_of(ssl, session, tls13, kept, &times):
        keep(ssl, session, kept, tls13, &times, now)
    # Not when it was looked up: the client had not proved yet that the session is its own.
    if tls13 and kept.found and not kept.ended and SSL_session_reused(ssl):
        kept.ended = True
        end_session(kept.cache, kept.id, now + GRACE, now)
    ERR_pop_to_mark()
    return 0


cdef void keep(SSL *ssl, SSL_SESSION *session, Kept *kept, bint tls13, const Times *times,
               uint64_t now) noexcept nogil:
    """Store a session. In TLS 1.3, sessions of a connection have the same template if they have the same peer."""
    cdef bint known = (tls13 and (kept.stored or (kept.found and SSL_session_reused(ssl)))
                       and SSL_SESSION_get0_peer(session) is kept.peer)
    kept.stored = (store_session(kept.cache, session, times, now, kept.key, known)
                   and (known or remember_peer(kept, session)))


cdef bint times_of(SSL *ssl, SSL_SESSION *session, bint tls13, Kept *kept, Times *times) noexcept nogil:
    """Read when the full handshake of a new session was, and when its client's certificates expire.

    In TLS 1.2, the session does so, too: what on_session_made() does.
    """
    if tls13:
        return read_times(session, times)  # on_ticket_made() has written them
    times.full = <uint64_t> SSL_SESSION_get_time(session)
    times.until = verified_until(ssl) if may_resume(ssl, kept.listener) else 0
    end_at(session, min(times.full + <uint64_t> SSL_SESSION_get_timeout(session), times.until))
    return True


cdef void free_kept(void *ssl, void *kept, CRYPTO_EX_DATA *ad, int index, long argl, void *argp) noexcept nogil:
    if kept is not NULL:
        X509_free((<Kept *> kept).peer)
        release_cache((<Kept *> kept).cache)
    OPENSSL_clear_free(kept, sizeof(Kept))


cdef int drop_kept(CRYPTO_EX_DATA *to, const CRYPTO_EX_DATA *original, CRYPTO_EX_dup_from kept, int index, long argl,
                   void *argp) noexcept nogil:
    # A copy by SSL_dup() has not read a ClientHello. It gets the pointer that this function leaves in `kept`.
    (<void **> kept)[0] = NULL
    return 1


kept_index = check(SSL_get_ex_new_index(0, NULL, NULL, drop_kept, free_kept), b"SSL_get_ex_new_index()")
