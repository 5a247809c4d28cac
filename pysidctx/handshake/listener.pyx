"""The data that pysidctx stores in an SSL_CTX and in an SSL, and the ClientHello callback that applies it.

CPython sets its own id context on each server connection right after `SSL_new()` (up to 3.12, on each `SSL_CTX`).
Another id context takes effect only if it is set after that and before OpenSSL decides on resumption. The ClientHello
callback is the only code that runs between the two.
"""

from pysidctx.binding cimport bind_openssl
from pysidctx.errors cimport check
from pysidctx.handshake.client_hello cimport read_server_name
from pysidctx.handshake.siphash cimport siphash
from pysidctx.libssl cimport (
    CRYPTO_EX_DATA, CRYPTO_EX_dup_from, ERR_pop_to_mark, ERR_set_mark, OPENSSL_free,
    OPENSSL_memdup, OPENSSL_zalloc, RAND_bytes,
    SSL_AD_ILLEGAL_PARAMETER, SSL_AD_INTERNAL_ERROR, SSL_CLIENT_HELLO_ERROR, SSL_CLIENT_HELLO_SUCCESS,
    SSL_CTX_free, SSL_CTX_get_ex_new_index, SSL_CTX_get_ssl_method, SSL_CTX_set_client_hello_cb,
    SSL_CTX_set_ex_data, SSL_CTX_set_session_id_context, SSL_CTX_up_ref, SSL_get_ex_new_index,
    SSL_get_pending_cipher, SSL_get_session, SSL_get_SSL_CTX, SSL_SESSION_get0_id_context, SSL_set_ex_data,
    SSL_set_session_id_context, TLS_client_method,
)
from pysidctx.lockfree.counts cimport COUNT_HANDSHAKES, count_for_all
from pysidctx.lockfree.held_contexts cimport hold_context, release_context
from pysidctx.lockfree.id_context_slot cimport sid_slot_write
from pysidctx.lockfree.readers cimport (
    atomic_load, atomic_size_t, atomic_thread_fence, gate_enter, gate_init, gate_leave, gate_wait,
    memory_order_acquire, memory_order_release, reader_gate, shared_exchange,
)

bind_openssl()

cdef extern from "pthread.h" nogil:
    int pthread_atfork(void (*prepare)() noexcept nogil, void (*parent)() noexcept nogil,
                       void (*child)() noexcept nogil)


# Counts the callbacks that are using a Router or a Store.
cdef reader_gate gate

# The key for the hashes of host names: without it, clients could find two names with the same hash.
cdef siphash_key key


cdef Listener *new_listener(SSL_CTX *ctx, const unsigned char *sid_ctx,
                            unsigned int length) noexcept nogil:
    """Give `ctx` its first id context and the callback. Returns NULL if memory or random numbers run out."""
    cdef unsigned char unique[SSL_MAX_SID_CTX_LENGTH]
    cdef Listener *listener = NULL
    ERR_set_mark()
    # Calls that can fail come before those that change the behavior of `ctx`.
    if RAND_bytes(unique, SSL_MAX_SID_CTX_LENGTH) == 1:
        listener = <Listener *> OPENSSL_zalloc(sizeof(Listener))
    if listener is not NULL and not SSL_CTX_set_ex_data(ctx, listener_index, listener):
        OPENSSL_free(listener)
        listener = NULL
    if listener is not NULL:
        sid_slot_write(&listener.id_context, sid_ctx, length)
        listener.serves = keep_apart(ctx, unique)
        # The callback comes last, because a handshake in another thread may run it at once. It gets no argument,
        # because OpenSSL does not store the callback and its argument atomically.
        atomic_thread_fence(memory_order_release)
        SSL_CTX_set_client_hello_cb(ctx, on_client_hello, NULL)
    ERR_pop_to_mark()
    return listener


cdef bint keep_apart(SSL_CTX *ctx, const unsigned char *unique) noexcept nogil:
    """If `ctx` serves, give it a unique id context, which no connection chooses.

    If a connection's id context equals that of the old SSL_CTX, SSL_set_SSL_CTX() assumes that it was inherited and
    replaces it with that of the new one. The choice would be lost, and OpenSSL would look up the session of a
    ClientHello after a HelloRetryRequest under another id context.
    """
    return (SSL_CTX_get_ssl_method(ctx) is not TLS_client_method()
            and SSL_CTX_set_session_id_context(ctx, unique, SSL_MAX_SID_CTX_LENGTH))


cdef Connection *new_connection(SSL *ssl) noexcept nogil:
    """Create the Connection of `ssl`. Returns NULL if memory runs out, and leaves the error queue as it was."""
    ERR_set_mark()
    cdef Connection *connection = kept_anew(ssl)
    ERR_pop_to_mark()
    return connection


cdef Connection *kept_anew(SSL *ssl) noexcept nogil:
    """Like new_connection(), but leave errors in the queue, for a handshake that fails then."""
    cdef Connection *connection = <Connection *> OPENSSL_zalloc(sizeof(Connection))
    if connection is not NULL and not SSL_set_ex_data(ssl, connection_index, connection):
        OPENSSL_free(connection)
        return NULL
    return connection


cdef void keep_former(Connection *connection, SSL *ssl) noexcept nogil:
    """Store the current SSL_CTX, usually the one that created `ssl`, before the connection is switched."""
    cdef SSL_CTX *ctx = SSL_get_SSL_CTX(ssl)
    if connection.former is NULL and SSL_CTX_up_ref(ctx):
        connection.former = ctx


cdef Listener *listener_made(SSL_CTX *ctx) except NULL:
    """Return the Listener of `ctx`; create it if needed. Raises MemoryError. Calls for one `ctx` must not overlap."""
    cdef Listener *listener = listener_of(ctx)
    if listener is NULL:
        # No id context was set, so CPython's own stays in effect.
        listener = new_listener(ctx, CPYTHON, CPYTHON_LENGTH)
    if listener is NULL:
        raise MemoryError("out of memory, or of random numbers, while preparing an SSLContext")
    return listener


cdef bint set_router(Listener *listener, Router *router) noexcept nogil:
    """Install `router`, which may be NULL, and free the one that it replaces. Returns whether there was one.

    Waits for all callbacks that use the former router.
    """
    cdef Router *former = <Router *> shared_exchange(&listener.router, router)
    if former is NULL:
        return False
    wait_for_callbacks()
    former.free(former)
    return True


cdef bint set_store(Listener *listener, Store *store) noexcept nogil:
    """Like set_router(), for a Store."""
    cdef Store *former = <Store *> shared_exchange(&listener.store, store)
    if former is NULL:
        return False
    wait_for_callbacks()
    former.free(former)
    return True


cdef uint64_t stored_lifetime(Listener *listener) noexcept nogil:
    """Return how long sessions live in the Store of `listener`, in seconds; 0 if it has none."""
    cdef atomic_size_t *inside
    cdef Store *store
    cdef uint64_t lifetime
    if listener is NULL or shared_load(&listener.store) is NULL:
        return 0
    inside = gate_enter(&gate)
    store = <Store *> shared_load(&listener.store)
    lifetime = 0 if store is NULL else store.lifetime
    gate_leave(inside)
    return lifetime


cdef void prepare_store(Listener *listener, SSL *ssl) noexcept nogil:
    cdef atomic_size_t *inside = gate_enter(&gate)
    cdef Store *store = <Store *> shared_load(&listener.store)
    if store is not NULL:
        store.prepare(store, ssl)
    gate_leave(inside)


cdef void wait_for_callbacks() noexcept nogil:
    """Wait until every ClientHello callback that has begun has ended. Callbacks never wait for the caller."""
    gate_wait(&gate)


cdef int on_client_hello(SSL *ssl, int *alert, void *unused) noexcept nogil:
    """Set the id context of a connection: the one set on it, else its host's, else that of its SSL_CTX."""
    atomic_thread_fence(memory_order_acquire)  # pairs with the fence in new_listener()
    cdef Connection *connection = connection_kept(ssl)
    cdef Listener *listener
    alert[0] = SSL_AD_INTERNAL_ERROR
    if connection is not NULL and connection.chosen:
        if not is_for_the_same_host(connection, ssl, alert):
            return SSL_CLIENT_HELLO_ERROR
    # This is not the first ClientHello. The first was read by an SSL_CTX without this callback, before a switch, so
    # nothing was chosen. A renegotiation still has its session; after a HelloRetryRequest there is none, but a cipher
    # was chosen.
    elif connection is NULL and (SSL_get_session(ssl) is not NULL
                                 or SSL_get_pending_cipher(ssl) is not NULL):
        return SSL_CLIENT_HELLO_SUCCESS
    else:
        count_for_all(COUNT_HANDSHAKES)
        listener = listener_of(SSL_get_SSL_CTX(ssl))
        connection = choose_id_context(connection, listener, ssl, alert)
        if connection is not NULL and not is_chosen_for(connection, SSL_get_SSL_CTX(ssl)):
            return SSL_CLIENT_HELLO_ERROR
        # After a switch, which replaces the options.
        if connection is not NULL and shared_load(&listener.store) is not NULL:
            prepare_store(listener, ssl)
    # In every ClientHello: a switch of the SSL_CTX may have replaced the id context, but the first choice stays.
    if connection is not NULL and SSL_set_session_id_context(ssl, connection.id_context,
                                                             connection.length):
        return SSL_CLIENT_HELLO_SUCCESS
    return SSL_CLIENT_HELLO_ERROR


cdef bint is_chosen_for(Connection *connection, SSL_CTX *ctx) noexcept nogil:
    """Record for which SSL_CTX the id context was chosen. Returns False on failure.

    Once a connection of that SSL_CTX was switched away after the choice, no session is resumed under it: each
    connection gets a random id context.
    """
    cdef Listener *listener = listener_of(ctx)
    if not SSL_CTX_up_ref(ctx):
        return False
    connection.chosen_for = ctx
    if listener is NULL or atomic_load(&listener.left) == 0 or connection.own:
        return True
    connection.length = SSL_MAX_SID_CTX_LENGTH
    return RAND_bytes(connection.id_context, SSL_MAX_SID_CTX_LENGTH) == 1


cdef bint is_for_the_same_host(Connection *connection, SSL *ssl, int *alert) noexcept nogil:
    """Whether a later ClientHello names the same host as the first one, if a Router has chosen by it."""
    cdef ServerName name
    cdef siphash_value host
    if not connection.routed:
        return True
    # Otherwise the application would see the new name, but the rules of the old name would apply.
    alert[0] = SSL_AD_ILLEGAL_PARAMETER
    read_server_name(ssl, &name)
    host = siphash(&key, name.text, name.length)
    return not name.malformed and memcmp(&host, &connection.host, sizeof(host)) == 0


cdef Connection *choose_id_context(Connection *connection, Listener *listener, SSL *ssl, int *alert) noexcept nogil:
    """Make the first choice; either pointer may be NULL. Returns NULL to end the handshake with `alert`."""
    if listener is NULL:
        return NULL
    if shared_load(&listener.router) is not NULL:
        return ask_router(connection, listener, ssl, alert)
    return take_context(connection, listener, ssl)


cdef Connection *take_context(Connection *connection, Listener *listener,
                              SSL *ssl) noexcept nogil:
    if connection is NULL:
        connection = kept_anew(ssl)
        if connection is NULL:
            return NULL
    connection.chosen = True
    if not connection.own:
        connection.length = sid_slot_read(&listener.id_context, connection.id_context)
    return connection


cdef Connection *ask_router(Connection *connection, Listener *listener, SSL *ssl,
                            int *alert) noexcept nogil:
    """Let the Router choose, if it is still installed."""
    cdef atomic_size_t *inside = gate_enter(&gate)
    cdef Router *router = <Router *> shared_load(&listener.router)
    cdef ServerName name
    cdef siphash_value host
    if router is NULL:
        connection = take_context(connection, listener, ssl)
    else:
        read_server_name(ssl, &name)
        host = siphash(&key, name.text, name.length)
        router.expect(router, &host)
        if connection is NULL:
            connection = kept_anew(ssl)
        if connection is not NULL:
            connection.chosen = connection.routed = True
            connection.host = host
            if not router.choose(router, listener, ssl, &name, connection, alert):
                connection = NULL
    gate_leave(inside)
    return connection


cdef void count_resumed(SSL *ssl, const SSL_SESSION *session, unsigned int counter) noexcept nogil:
    """Count a connection whose client has offered a session that is accepted, if OpenSSL resumes it: its id context.

    A client that answers a HelloRetryRequest offers it twice.
    """
    cdef Connection *connection = connection_kept(ssl)
    cdef unsigned int length = 0
    cdef const unsigned char *id_context = SSL_SESSION_get0_id_context(session, &length)
    if (connection is not NULL and not connection.resumed and length == connection.length
            and memcmp(id_context, connection.id_context, length) == 0):
        connection.resumed = True
        count_for_all(counter)


cdef const siphash_key *host_key() noexcept nogil:
    """Return the key for hashes of host names that are compared with `Connection.host`."""
    return &key


# OpenSSL calls the next two functions in the thread that frees the object, with `kept` NULL if nothing was stored.

cdef void free_listener(void *ctx, void *kept, CRYPTO_EX_DATA *ad, int index, long argl,
                        void *argp) noexcept nogil:
    # OpenSSL calls this before it frees `ctx`, so no other SSL_CTX can have the same address yet.
    cdef Router *router
    cdef Store *store
    if recent.ctx is ctx:
        recent.ctx = NULL
    if kept is not NULL:
        router = <Router *> shared_load(&(<Listener *> kept).router)
        if router is not NULL:
            router.free(router)
        store = <Store *> shared_load(&(<Listener *> kept).store)
        if store is not NULL:
            store.free(store)
    OPENSSL_free(kept)


cdef void free_connection(void *ssl, void *kept, CRYPTO_EX_DATA *ad, int index, long argl,
                          void *argp) noexcept nogil:
    cdef Connection *connection = <Connection *> kept
    if connection is not NULL:
        SSL_CTX_free(connection.former)
        SSL_CTX_free(connection.chosen_for)
        if connection.context is not NULL:
            release_context(connection.context)
    OPENSSL_free(kept)


cdef int copy_connection(CRYPTO_EX_DATA *to, const CRYPTO_EX_DATA *original,
                         CRYPTO_EX_dup_from kept, int index, long argl, void *argp) noexcept nogil:
    # Without this, SSL_dup() would make both connections own the same Connection. The copy gets the pointer that
    # this function leaves in `kept`.
    cdef void **place = <void **> kept
    cdef Connection *copy
    if place[0] is not NULL:
        copy = <Connection *> OPENSSL_memdup(place[0], sizeof(Connection))
        place[0] = copy
        if copy is NULL:
            return 0
        copy.former = NULL  # SSL_dup() creates the copy from the SSL_CTX to which `original` was switched
        if copy.chosen_for is not NULL and not SSL_CTX_up_ref(copy.chosen_for):
            OPENSSL_free(copy)
            place[0] = NULL
            return 0
        if copy.context is not NULL:
            hold_context(copy.context)
    return 1


cdef void renew_gate() noexcept nogil:
    """Initialize the gate, at import and again in a forked child, which lacks the threads that were in a callback."""
    gate_init(&gate)


renew_gate()
check(pthread_atfork(NULL, NULL, renew_gate) == 0, b"pthread_atfork()")
check(RAND_bytes(<unsigned char *> &key, sizeof(key)), b"RAND_bytes()")


listener_index = check(SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, free_listener),
                       b"SSL_CTX_get_ex_new_index()")
connection_index = check(SSL_get_ex_new_index(0, NULL, NULL, copy_connection, free_connection),
                         b"SSL_get_ex_new_index()")
