"""OpenSSL's ticket callbacks, which encrypt with the keys of a connection's listener and check what was decrypted.

A ticket carries the time of its full handshake and the time at which the client's certificates expire: TLS 1.3 would
lose both at each renewal. A listener is the SSL_CTX that created a connection; the connection may have been switched to
another one since. OpenSSL passes the key callback neither an argument nor the listener. It passes an argument to the
other two ticket callbacks: one records it on the connection before a ticket is encrypted, and the other checks a ticket
that was decrypted before the listener was known.
"""

from libc.stdint cimport uint64_t
from libc.string cimport memcpy

from pysidctx.binding cimport bind_openssl
from pysidctx.errors cimport check, check_pointer
from pysidctx.handshake.late_switches cimport may_resume
from pysidctx.handshake.listener cimport (
    Connection, Listener, connection_kept, count_resumed, listener_made, listener_of, stored_lifetime,
)
from pysidctx.libssl cimport (
    CRYPTO_EX_DATA, CRYPTO_EX_dup_from, ERR_clear_error, EVP_CIPHER, EVP_CIPHER_CTX, EVP_DecryptInit_ex,
    EVP_EncryptInit_ex, OPENSSL_cleanse, OPENSSL_free, OPENSSL_zalloc, RAND_bytes, SSL, SSL_CTX,
    SSL_CTX_get_ex_data, SSL_CTX_get_ex_new_index, SSL_CTX_get_timeout, SSL_CTX_get_tlsext_ticket_keys,
    SSL_CTX_sess_get_new_cb, SSL_CTX_sess_set_new_cb, SSL_CTX_set_ex_data, SSL_CTX_set_session_ticket_cb,
    SSL_CTX_set_timeout,
    SSL_get_ex_data, SSL_get_ex_new_index, SSL_get_options, SSL_get_session, SSL_get_SSL_CTX, SSL_get_verify_mode,
    SSL_OP_NO_TICKET, SSL_SESSION, SSL_SESSION_get0_peer, SSL_set_ex_data, SSL_TICKET_NO_DECRYPT, SSL_TICKET_RETURN,
    SSL_TICKET_RETURN_IGNORE_RENEW, SSL_TICKET_RETURN_USE, SSL_TICKET_RETURN_USE_RENEW, SSL_TICKET_STATUS,
    SSL_TICKET_SUCCESS, SSL_TICKET_SUCCESS_RENEW, SSL_VERIFY_FAIL_IF_NO_PEER_CERT, SSL_VERIFY_POST_HANDSHAKE,
    SSL_version, TLS1_3_VERSION, new_session_fn,
)
from pysidctx.lockfree.counts cimport COUNT_RESUMED_BY_TICKET
from pysidctx.lockfree.readers cimport (
    atomic_size_t, atomic_thread_fence, flag_store, memory_order_acquire, memory_order_release, shared_exchange,
    shared_load, shared_pointer,
)
from pysidctx.openssl_compat cimport (
    TICKET_MAC, fetched_aes128, fetched_aes256, set_ticket_key_callback, ticket_mac_init,
)
from pysidctx.tickets.expiry cimport on_session_made, unix_time, write_times
from pysidctx.tickets.keyring cimport (
    ACCEPTED, EXPIRED, INVALID, ISSUED, NAME_LENGTH, Keyring, RENEWED, TicketKey, UNKNOWN_KEY, count_ticket,
    current_key, enter_lookup, find_anywhere, find_key, hold_keyring, leave_lookup, new_keyring, read_key,
    release_keyring, set_keys,
)
from pysidctx.tickets.times cimport Times, read_times

bind_openssl()


# Stored in an SSL_CTX's ex_data when the callbacks are installed; the SSL_CTX owns it and frees it.
cdef struct ListenerKeys:
    SSL_CTX *ctx
    shared_pointer ring  # a Keyring, of which this holds a reference; never NULL
    long timeout         # the session timeout to restore, in seconds

cdef enum:
    BUILTIN_LENGTH = 80     # bytes of the keys that OpenSSL generates for an SSL_CTX
    IV_LENGTH = 16          # bytes, for AES
    # How far, in seconds, the time of a full handshake may lie ahead of this clock, if the keys have no
    # period.
    SKEW = 300

cdef EVP_CIPHER *aes128 = <EVP_CIPHER *> check_pointer(fetched_aes128(), b"EVP_CIPHER_fetch()")
cdef EVP_CIPHER *aes256 = <EVP_CIPHER *> check_pointer(fetched_aes256(), b"EVP_CIPHER_fetch()")


cdef int use_keyring(SSL_CTX *ctx, Keyring *ring) except -1:
    """Make the connections that `ctx` creates use these keys. Calls for one `ctx` must not overlap."""
    cdef ListenerKeys *keys = listener_keys_of(ctx)
    # Its ClientHello callback records for which SSL_CTX an id context was chosen.
    cdef Listener *listener = listener_made(ctx)
    hold_keyring(ring)
    if keys is NULL:
        try:
            keys = install_callbacks(ctx, ring)
        except BaseException:
            release_keyring(ring)
            raise
    else:
        if (<Keyring *> shared_load(&keys.ring)).builtin:
            keys.timeout = SSL_CTX_get_timeout(ctx)
        release_keyring(<Keyring *> shared_exchange(&keys.ring, ring))
    SSL_CTX_set_timeout(ctx, <long> ring.lifetime)
    flag_store(&listener.has_ticket_keys, not ring.builtin)
    return 0


cdef bint stop_using(SSL_CTX *ctx, Keyring *ring) except -1:
    """Make the connections of `ctx` use OpenSSL's own keys again. Returns False if they did not use `ring`.

    The callbacks stay installed: a handshake may be about to call them.
    """
    cdef ListenerKeys *keys = listener_keys_of(ctx)
    cdef Keyring *own
    if keys is NULL or shared_load(&keys.ring) is not ring:
        return False
    own = builtin_keyring(ctx)
    release_keyring(<Keyring *> shared_exchange(&keys.ring, own))
    SSL_CTX_set_timeout(ctx, keys.timeout)
    flag_store(&listener_of(ctx).has_ticket_keys, False)
    return True


cdef int write_times_of_tickets(SSL_CTX *ctx) except -1:
    """Install the ticket callbacks, with OpenSSL's own keys, unless `ctx` has them.

    Calls for one `ctx` must not overlap.
    """
    cdef Keyring *ring
    if listener_keys_of(ctx) is not NULL:
        return 0
    listener_made(ctx)
    ring = builtin_keyring(ctx)
    try:
        install_callbacks(ctx, ring)
    except BaseException:
        release_keyring(ring)
        raise
    return 0


cdef Keyring *keyring_of(SSL_CTX *ctx) noexcept nogil:
    """Return the Keyring that the connections of `ctx` use; NULL if the ticket callbacks were never installed on it.

    Calls for one `ctx` must not overlap.
    """
    cdef ListenerKeys *keys = listener_keys_of(ctx)
    return NULL if keys is NULL else <Keyring *> shared_load(&keys.ring)


cdef ListenerKeys *install_callbacks(SSL_CTX *ctx, Keyring *ring) except NULL:
    """Install the ticket callbacks. Takes over the caller's reference to `ring`, unless it raises."""
    refuse_other_callback(ctx)
    cdef ListenerKeys *keys = <ListenerKeys *> check_pointer(
        OPENSSL_zalloc(sizeof(ListenerKeys)), b"OPENSSL_zalloc()")
    keys.ctx = ctx
    shared_exchange(&keys.ring, ring)
    keys.timeout = SSL_CTX_get_timeout(ctx)
    try:
        check(SSL_CTX_set_ex_data(ctx, listener_keys_index, keys), b"SSL_CTX_set_ex_data()")
    except BaseException:
        OPENSSL_free(keys)
        raise
    # These calls cannot fail. A handshake in another thread may run each callback as soon as it is set: the
    # key callback comes last, because the ticket callback tells it which keys to use.
    atomic_thread_fence(memory_order_release)
    SSL_CTX_set_session_ticket_cb(ctx, on_ticket_made, on_ticket_read, keys)
    if not listener_of(ctx).has_store_callbacks:  # otherwise they call on_session_made()
        SSL_CTX_sess_set_new_cb(ctx, on_session_made)
    atomic_thread_fence(memory_order_release)
    set_ticket_key_callback(ctx, on_ticket_key)
    return keys


cdef int refuse_other_callback(SSL_CTX *ctx) except -1:
    """Raise ValueError if the sessions of `ctx` are kept by somebody else, whose callback would be replaced."""
    cdef new_session_fn former = SSL_CTX_sess_get_new_cb(ctx)
    if former is not NULL and former is not <new_session_fn> on_session_made and not is_storing(ctx):
        raise ValueError("the sessions of this SSLContext are kept already, by a ClientSessions or another library: "
                         "make another SSLContext, of PROTOCOL_TLS_SERVER, to serve")
    return 0


cdef inline bint is_storing(SSL_CTX *ctx) noexcept:
    cdef Listener *listener = listener_of(ctx)
    return listener is not NULL and listener.has_store_callbacks


cdef Keyring *builtin_keyring(SSL_CTX *ctx) except NULL:
    """Return OpenSSL's own keys of `ctx` in a new Keyring, whose only reference the caller owns."""
    cdef unsigned char keys[BUILTIN_LENGTH]
    cdef TicketKey key
    cdef Keyring *ring = NULL
    check(SSL_CTX_get_tlsext_ticket_keys(ctx, keys, BUILTIN_LENGTH),
          b"SSL_CTX_get_tlsext_ticket_keys()")
    try:
        ring = new_keyring(0)
        ring.builtin = True
        read_key(&key, keys, BUILTIN_LENGTH, True)
        set_keys(ring, &key, 1)
    except BaseException:
        if ring is not NULL:
            release_keyring(ring)
        raise
    finally:
        OPENSSL_cleanse(keys, sizeof(keys))
        OPENSSL_cleanse(&key, sizeof(key))
    return ring


cdef inline ListenerKeys *listener_keys_of(SSL_CTX *ctx) noexcept nogil:
    return <ListenerKeys *> SSL_CTX_get_ex_data(ctx, listener_keys_index)


cdef inline Keyring *ring_of(ListenerKeys *keys) noexcept nogil:
    """Only between enter_lookup() and leave_lookup()."""
    return <Keyring *> shared_load(&keys.ring)


cdef bint note_creator(SSL *ssl, ListenerKeys *keys) noexcept nogil:
    """Record permanently which SSL_CTX created `ssl`: it lives as long as the connection."""
    return (SSL_get_ex_data(ssl, creator_index) is keys
            or SSL_set_ex_data(ssl, creator_index, keys))


cdef Keyring *ring_for(SSL *ssl) noexcept nogil:
    """Return the Keyring of the SSL_CTX that created `ssl`. Only between enter_lookup() and leave_lookup().

    If note_creator() has not recorded that SSL_CTX, this is a guess: on_ticket_made() and on_ticket_read() verify it.
    """
    cdef ListenerKeys *keys = <ListenerKeys *> SSL_get_ex_data(ssl, creator_index)
    cdef Connection *connection
    if keys is NULL:
        connection = connection_kept(ssl)
        if connection is not NULL and connection.former is not NULL:
            keys = listener_keys_of(connection.former)
        else:
            keys = listener_keys_of(SSL_get_SSL_CTX(ssl))
    return ring_of(keys) if keys is not NULL else NULL


cdef int on_ticket_key(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *ctx,
                       TICKET_MAC *mac, int enc) noexcept nogil:
    """See SSL_CTX_set_tlsext_ticket_key_evp_cb(3)."""
    cdef TicketKey key
    atomic_thread_fence(memory_order_acquire)  # pairs with the fence in install_callbacks()
    if enc:
        return encrypt_ticket(ssl, name, iv, ctx, mac, &key)
    return decrypt_ticket(ssl, name, iv, ctx, mac, &key)


cdef int encrypt_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *ctx,
                        TICKET_MAC *mac, TicketKey *key) noexcept nogil:
    """Return 1, or -1 to abort the handshake."""
    cdef atomic_size_t *inside = enter_lookup()
    cdef Keyring *ring = ring_for(ssl)
    cdef const TicketKey *found = current_key(ring, unix_time()) if ring is not NULL else NULL
    cdef bint done
    if found is not NULL:
        key[0] = found[0]
        count_ticket(ring, ISSUED)
    leave_lookup(inside)
    if found is NULL:
        return -1
    memcpy(name, key.name, NAME_LENGTH)
    done = (RAND_bytes(iv, IV_LENGTH) > 0
            and EVP_EncryptInit_ex(ctx, cipher_of(key), NULL, key.aes, iv) > 0
            and ticket_mac_init(mac, key.hmac, key.length) > 0)
    OPENSSL_cleanse(key, sizeof(TicketKey))
    return 1 if done else -1


cdef int decrypt_ticket(SSL *ssl, const unsigned char *name, const unsigned char *iv,
                        EVP_CIPHER_CTX *ctx, TICKET_MAC *mac, TicketKey *key) noexcept nogil:
    """Return 1, or 2 if the client is to be given a new ticket, or 0 for a full handshake."""
    cdef bint renew = False
    cdef bint done
    if not copy_key(ssl, name, key, &renew):
        return 0
    done = (EVP_DecryptInit_ex(ctx, cipher_of(key), NULL, key.aes, iv) > 0
            and ticket_mac_init(mac, key.hmac, key.length) > 0)
    OPENSSL_cleanse(key, sizeof(TicketKey))
    if not done:
        # The handshake continues, so no error may remain in the queue, which was empty when it began.
        ERR_clear_error()
        return 0
    # A TLS 1.3 client uses each ticket once (RFC 8446, appendix C.4).
    return 2 if renew or SSL_version(ssl) == TLS1_3_VERSION else 1


cdef bint copy_key(SSL *ssl, const unsigned char *name, TicketKey *key,
                   bint *renew) noexcept nogil:
    cdef atomic_size_t *inside = enter_lookup()
    cdef Keyring *ring = ring_for(ssl)
    cdef const TicketKey *found = NULL
    if ring is not NULL:
        found = find_key(ring, name, unix_time(), renew)
    if found is NULL:
        # Other code may have switched the connection before its ticket was read. on_ticket_read() checks the key.
        found = find_anywhere(name, unix_time(), renew)
    if found is not NULL:
        key[0] = found[0]
    leave_lookup(inside)
    return found is not NULL


cdef const EVP_CIPHER *cipher_of(const TicketKey *key) noexcept nogil:
    return aes128 if key.length == 16 else aes256


cdef int on_ticket_made(SSL *ssl, void *argument) noexcept nogil:
    """See SSL_CTX_set_session_ticket_cb(3): called before a session is written into a ticket."""
    cdef ListenerKeys *keys = <ListenerKeys *> argument
    cdef atomic_size_t *inside
    cdef Keyring *ring
    cdef uint64_t lifetime = 0
    if keys is NULL:  # the callbacks are being installed at this moment
        return 1
    if not note_creator(ssl, keys):
        return 0
    if SSL_get_options(ssl) & SSL_OP_NO_TICKET:
        lifetime = stored_lifetime(listener_of(keys.ctx))  # the ticket is the name of a stored session
    if lifetime == 0:
        inside = enter_lookup()
        ring = ring_of(keys)
        lifetime = ring.lifetime  # 0 for OpenSSL's own keys
        leave_lookup(inside)
    return 1 if lifetime == 0 else write_times(ssl, keys.ctx, SSL_get_session(ssl), lifetime)


cdef SSL_TICKET_RETURN on_ticket_read(SSL *ssl, SSL_SESSION *session, const unsigned char *name,
                                      size_t length, SSL_TICKET_STATUS status,
                                      void *argument) noexcept nogil:
    """See SSL_CTX_set_session_ticket_cb(3): called after a ticket was decrypted, or failed to decrypt."""
    cdef ListenerKeys *keys = <ListenerKeys *> argument
    cdef SSL_TICKET_RETURN result = SSL_TICKET_RETURN_IGNORE_RENEW
    cdef bint decrypted = status in (SSL_TICKET_SUCCESS, SSL_TICKET_SUCCESS_RENEW)
    cdef bint refused = False
    cdef atomic_size_t *inside
    if keys is NULL:  # the callbacks are being installed at this moment: a full handshake
        return result
    # Before enter_lookup(), because may_resume() may take the GIL: another thread may hold the GIL and wait for all
    # lookups to end.
    if decrypted:
        refused = lacks_certificate(ssl, session) or not may_resume(ssl, keys.ctx)
    inside = enter_lookup()
    if decrypted:
        if is_acceptable(ring_of(keys), session, name, length):
            result = accept(ring_of(keys), status == SSL_TICKET_SUCCESS_RENEW, refused)
            if not refused:
                count_resumed(ssl, session, COUNT_RESUMED_BY_TICKET)
    elif status == SSL_TICKET_NO_DECRYPT:
        count_ticket(ring_of(keys), INVALID if has_key_named(ring_of(keys), name, length) else UNKNOWN_KEY)
    leave_lookup(inside)
    return result


cdef bint has_key_named(Keyring *ring, const unsigned char *name, size_t length) noexcept nogil:
    cdef bint renew
    return length == NAME_LENGTH and find_key(ring, name, unix_time(), &renew) is not NULL


cdef bint is_acceptable(Keyring *ring, SSL_SESSION *session, const unsigned char *name,
                        size_t length) noexcept nogil:
    """Whether a ticket was encrypted with a key of `ring` and has not expired. Counts it if not."""
    cdef Times times
    cdef uint64_t present = unix_time()
    if not has_key_named(ring, name, length):
        count_ticket(ring, UNKNOWN_KEY)
        return False
    if ring.builtin:
        return True
    if not read_times(session, &times):
        count_ticket(ring, INVALID)
        return False
    if (present >= min(times.full + ring.lifetime, times.until)
            or times.full > present + (ring.period if ring.period else SKEW)):
        count_ticket(ring, EXPIRED)
        return False
    return True


cdef bint lacks_certificate(SSL *ssl, SSL_SESSION *session) noexcept nogil:
    """Whether the server requires a client certificate and this session has none.

    The id context does not reveal this if the server began to require certificates after the id context was chosen.
    """
    cdef int mode = SSL_get_verify_mode(ssl)
    if not mode & SSL_VERIFY_FAIL_IF_NO_PEER_CERT:
        return False
    if mode & SSL_VERIFY_POST_HANDSHAKE and SSL_version(ssl) == TLS1_3_VERSION:
        return False  # the server requests it after the handshake
    return SSL_SESSION_get0_peer(session) is NULL


cdef SSL_TICKET_RETURN accept(Keyring *ring, bint renew, bint refused) noexcept nogil:
    count_ticket(ring, ACCEPTED)
    if refused:
        return SSL_TICKET_RETURN_IGNORE_RENEW
    if not renew:
        return SSL_TICKET_RETURN_USE
    count_ticket(ring, RENEWED)
    return SSL_TICKET_RETURN_USE_RENEW


cdef void free_listener_keys(void *ctx, void *kept, CRYPTO_EX_DATA *ad, int index, long argl,
                             void *argp) noexcept nogil:
    if kept is not NULL:
        release_keyring(<Keyring *> shared_load(&(<ListenerKeys *> kept).ring))
    OPENSSL_free(kept)


cdef int forget_creator(CRYPTO_EX_DATA *to, const CRYPTO_EX_DATA *original,
                        CRYPTO_EX_dup_from kept, int index, long argl, void *argp) noexcept nogil:
    # SSL_dup() creates the copy from the SSL_CTX to which the original connection was switched.
    cdef void **place = <void **> kept
    place[0] = NULL
    return 1


cdef int listener_keys_index = check(
    SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, free_listener_keys), b"SSL_CTX_get_ex_new_index()")
cdef int creator_index = check(
    SSL_get_ex_new_index(0, NULL, NULL, forget_creator, NULL), b"SSL_get_ex_new_index()")
