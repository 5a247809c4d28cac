"""What pysidctx keeps on an SSL_CTX and on an SSL, and the ClientHello callback that applies it.

CPython gives each server connection an id context of its own making right after `SSL_new()`
(each `SSL_CTX`, up to 3.12). What is to count must be set later than that and before OpenSSL
decides on resumption: the ClientHello callback is the only place between the two.
"""

from pysidctx.errors cimport check
from pysidctx.handshake.client_hello cimport read_server_name
from pysidctx.handshake.siphash cimport siphash
from pysidctx.libssl cimport (
    CRYPTO_EX_DATA, CRYPTO_EX_dup_from, ERR_pop_to_mark, ERR_set_mark, OPENSSL_free,
    OPENSSL_memdup, OPENSSL_zalloc, RAND_bytes,
    SSL_AD_ILLEGAL_PARAMETER, SSL_AD_INTERNAL_ERROR, SSL_CLIENT_HELLO_ERROR, SSL_CLIENT_HELLO_SUCCESS,
    SSL_CTX_free, SSL_CTX_get_ex_new_index, SSL_CTX_get_ssl_method, SSL_CTX_set_client_hello_cb,
    SSL_CTX_set_ex_data, SSL_CTX_set_session_id_context, SSL_CTX_up_ref, SSL_get_ex_new_index,
    SSL_get_pending_cipher, SSL_get_session, SSL_get_SSL_CTX, SSL_set_ex_data, SSL_set_session_id_context,
    TLS_client_method,
)
from pysidctx.lockfree.held_contexts cimport hold, release
from pysidctx.lockfree.id_context_slot cimport sid_slot_write
from pysidctx.lockfree.readers cimport (
    atomic_load, atomic_size_t, atomic_thread_fence, gate_enter, gate_init, gate_leave, gate_wait,
    memory_order_acquire, memory_order_release, reader_gate, shared_exchange,
)

cdef extern from "pthread.h" nogil:
    int pthread_atfork(void (*prepare)() noexcept nogil, void (*parent)() noexcept nogil,
                       void (*child)() noexcept nogil)


# Where callbacks are that use a Router.
cdef reader_gate gate

# For hashes of host names, so that no client knows two names with the same one.
cdef siphash_key key


cdef Listener *new_listener(SSL_CTX *ctx, const unsigned char *sid_ctx,
                            unsigned int length) noexcept nogil:
    """Give `ctx` its first id context and the callback; NULL where memory ran out."""
    cdef unsigned char unique[SSL_MAX_SID_CTX_LENGTH]
    cdef Listener *listener = NULL
    ERR_set_mark()
    # What can fail comes first, and only then what changes `ctx`.
    if RAND_bytes(unique, SSL_MAX_SID_CTX_LENGTH) == 1:
        listener = <Listener *> OPENSSL_zalloc(sizeof(Listener))
    if listener is not NULL and not SSL_CTX_set_ex_data(ctx, listener_index, listener):
        OPENSSL_free(listener)
        listener = NULL
    if listener is not NULL:
        sid_slot_write(&listener.id_context, sid_ctx, length)
        listener.serves = keep_apart(ctx, unique)
        # Last: a handshake in another thread may run it at once. No argument for it: the two are
        # stored one after the other.
        atomic_thread_fence(memory_order_release)
        SSL_CTX_set_client_hello_cb(ctx, on_client_hello, NULL)
    ERR_pop_to_mark()
    return listener


cdef bint keep_apart(SSL_CTX *ctx, const unsigned char *unique) noexcept nogil:
    """Give `ctx`, if it serves, an id context of its own, which no connection chooses.

    SSL_set_SSL_CTX() takes a connection's id context for inherited where it equals that of the
    old SSL_CTX, and replaces it with the new one's: the choice would be lost, and a ClientHello
    after a HelloRetryRequest be looked up under another.
    """
    return (SSL_CTX_get_ssl_method(ctx) is not TLS_client_method()
            and SSL_CTX_set_session_id_context(ctx, unique, SSL_MAX_SID_CTX_LENGTH))


cdef Connection *new_connection(SSL *ssl) noexcept nogil:
    """Give `ssl` a place for its id context; NULL where memory ran out."""
    ERR_set_mark()
    cdef Connection *connection = kept_anew(ssl)
    ERR_pop_to_mark()
    return connection


cdef Connection *kept_anew(SSL *ssl) noexcept nogil:
    """The same, in a handshake: it fails then, and takes OpenSSL's error queue along."""
    cdef Connection *connection = <Connection *> OPENSSL_zalloc(sizeof(Connection))
    if connection is not NULL and not SSL_set_ex_data(ssl, connection_index, connection):
        OPENSSL_free(connection)
        return NULL
    return connection


cdef void keep_former(Connection *connection, SSL *ssl) noexcept nogil:
    """Before the connection is switched: it most often is the SSL_CTX that has created it."""
    cdef SSL_CTX *ctx = SSL_get_SSL_CTX(ssl)
    if connection.former is NULL and SSL_CTX_up_ref(ctx):
        connection.former = ctx


cdef Listener *listener_made(SSL_CTX *ctx) except NULL:
    """What is kept on `ctx`, with the callback; MemoryError. Calls for one `ctx` must not overlap."""
    cdef Listener *listener = listener_of(ctx)
    if listener is NULL:
        # No id context was set: that of CPython counts, as it did before.
        listener = new_listener(ctx, CPYTHON, CPYTHON_LENGTH)
    if listener is NULL:
        raise MemoryError("out of memory, or of random numbers, while preparing an SSLContext")
    return listener


cdef bint set_router(Listener *listener, Router *router) noexcept nogil:
    """Have `router` choose from here on, or nobody (NULL); whether there was another before.

    The former is freed when the callbacks that use it have ended.
    """
    cdef Router *former = <Router *> shared_exchange(&listener.router, router)
    if former is NULL:
        return False
    wait_for_callbacks()
    former.free(former)
    return True


cdef void wait_for_callbacks() noexcept nogil:
    """Return when all ClientHello callbacks that had begun have ended: they never wait for us."""
    gate_wait(&gate)


cdef int on_client_hello(SSL *ssl, int *alert, void *unused) noexcept nogil:
    """Give the connection its own id context, else its host's, else that of its SSL_CTX."""
    atomic_thread_fence(memory_order_acquire)  # pairs with new_listener()'s
    cdef Connection *connection = connection_kept(ssl)
    alert[0] = SSL_AD_INTERNAL_ERROR
    if connection is not NULL and connection.chosen:
        if not is_for_the_same_host(connection, ssl, alert):
            return SSL_CLIENT_HELLO_ERROR
    # Not the first ClientHello, and the first was not for us to choose at: it was read by an
    # SSL_CTX without this callback, before a switch. A renegotiation still has the session;
    # a HelloRetryRequest drops it, but has chosen a cipher.
    elif connection is NULL and (SSL_get_session(ssl) is not NULL
                                 or SSL_get_pending_cipher(ssl) is not NULL):
        return SSL_CLIENT_HELLO_SUCCESS
    else:
        connection = choose(connection, ssl, alert)
        if connection is not NULL and not is_chosen_for(connection, SSL_get_SSL_CTX(ssl)):
            return SSL_CLIENT_HELLO_ERROR
    # For every ClientHello: a switch of SSL_CTX may have replaced it, but the first choice stands.
    if connection is not NULL and SSL_set_session_id_context(ssl, connection.id_context,
                                                             connection.length):
        return SSL_CLIENT_HELLO_SUCCESS
    return SSL_CLIENT_HELLO_ERROR


cdef bint is_chosen_for(Connection *connection, SSL_CTX *ctx) noexcept nogil:
    """Note for which SSL_CTX the choice was made; False where that fails.

    Once a connection of it was switched away after the choice, no session is resumed under it: each choice is
    another one.
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
    """Whether a later ClientHello names the host of the first, where that chose something."""
    cdef ServerName name
    cdef siphash_value host
    if not connection.routed:
        return True
    # The application would be told the new name, and be served by the old one's rules.
    alert[0] = SSL_AD_ILLEGAL_PARAMETER
    read_server_name(ssl, &name)
    host = siphash(&key, name.text, name.length)
    return not name.malformed and memcmp(&host, &connection.host, sizeof(host)) == 0


cdef Connection *choose(Connection *connection, SSL *ssl, int *alert) noexcept nogil:
    """Make the first choice; `connection` may be NULL. NULL to end the handshake with `alert`."""
    cdef Listener *listener = listener_of(SSL_get_SSL_CTX(ssl))
    if listener is NULL:
        return NULL
    if shared_load(&listener.router) is not NULL:
        return route(connection, listener, ssl, alert)
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


cdef Connection *route(Connection *connection, Listener *listener, SSL *ssl,
                       int *alert) noexcept nogil:
    """Have the Router choose, if it is still there."""
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


cdef const siphash_key *host_key() noexcept nogil:
    """For the hashes of host names that are compared with `Connection.host`."""
    return &key


# The next two are called with NULL where nothing was kept, in whatever thread frees the object.

cdef void free_listener(void *ctx, void *kept, CRYPTO_EX_DATA *ad, int index, long argl,
                        void *argp) noexcept nogil:
    # Before the memory of `ctx` is given back, so that no other SSL_CTX can have its address yet.
    cdef Router *router
    if recent.ctx is ctx:
        recent.ctx = NULL
    if kept is not NULL:
        router = <Router *> shared_load(&(<Listener *> kept).router)
        if router is not NULL:
            router.free(router)
    OPENSSL_free(kept)


cdef void free_connection(void *ssl, void *kept, CRYPTO_EX_DATA *ad, int index, long argl,
                          void *argp) noexcept nogil:
    cdef Connection *connection = <Connection *> kept
    if connection is not NULL:
        SSL_CTX_free(connection.former)
        SSL_CTX_free(connection.chosen_for)
        if connection.context is not NULL:
            release(connection.context)
    OPENSSL_free(kept)


cdef int copy_connection(CRYPTO_EX_DATA *to, const CRYPTO_EX_DATA *original,
                         CRYPTO_EX_dup_from kept, int index, long argl, void *argp) noexcept nogil:
    # SSL_dup() would give both connections the same one to free. What is left in `kept` is the
    # copy's.
    cdef void **place = <void **> kept
    cdef Connection *copy
    if place[0] is not NULL:
        copy = <Connection *> OPENSSL_memdup(place[0], sizeof(Connection))
        place[0] = copy
        if copy is NULL:
            return 0
        copy.former = NULL  # the copy is created by the SSL_CTX that `original` was switched to
        if copy.chosen_for is not NULL and not SSL_CTX_up_ref(copy.chosen_for):
            OPENSSL_free(copy)
            place[0] = NULL
            return 0
        if copy.context is not NULL:
            hold(copy.context)
    return 1


cdef void renew_locks() noexcept nogil:
    """At first, and in a forked child, where the threads that were in a callback are not."""
    gate_init(&gate)


renew_locks()
check(pthread_atfork(NULL, NULL, renew_locks) == 0, b"pthread_atfork()")
check(RAND_bytes(<unsigned char *> &key, sizeof(key)), b"RAND_bytes()")


listener_index = check(SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, free_listener),
                       b"SSL_CTX_get_ex_new_index()")
connection_index = check(SSL_get_ex_new_index(0, NULL, NULL, copy_connection, free_connection),
                         b"SSL_get_ex_new_index()")
