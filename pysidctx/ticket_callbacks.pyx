"""What OpenSSL calls for session tickets: the keys of the connection's listener, and how old they get.

A ticket carries the time of its full handshake, which TLS 1.3 would forget at each renewal. The key
callback is told neither an argument nor the SSL_CTX whose callback it is, which is the one that the
connection was created with; that may have been switched since. The other two callbacks have an
argument: the one notes it on the connection before a ticket is encrypted, the other looks at what was
decrypted without.
"""

from libc.stdint cimport uint64_t
from libc.string cimport memcpy
from libc.time cimport time

from pysidctx.contexts cimport atomic_size_t, shared_pointer
from pysidctx.errors cimport check, check_pointer
from pysidctx.keyring cimport (
    ACCEPTED, EXPIRED, INVALID, ISSUED, NAME_LENGTH, Keyring, RENEWED, TicketKey, UNKNOWN_KEY, count,
    current_key, enter, find_anywhere, find_key, hold_keyring, leave, new_keyring, read_key,
    release_keyring, set_keys,
)
from pysidctx.libssl cimport (
    CRYPTO_EX_DATA, CRYPTO_EX_dup_from, ERR_clear_error, EVP_CIPHER, EVP_CIPHER_CTX,
    EVP_DecryptInit_ex, EVP_EncryptInit_ex, OPENSSL_cleanse, OPENSSL_free, OPENSSL_zalloc,
    RAND_bytes, SSL, SSL_CTX, SSL_CTX_get_ex_data, SSL_CTX_get_ex_new_index,
    SSL_CTX_get_timeout, SSL_CTX_get_tlsext_ticket_keys,
    SSL_CTX_set_ex_data, SSL_CTX_set_session_ticket_cb, SSL_CTX_set_timeout, SSL_get_ex_data,
    SSL_get_ex_new_index, SSL_get_session, SSL_get_SSL_CTX, SSL_get_verify_mode, SSL_SESSION,
    SSL_SESSION_get0_peer, SSL_SESSION_get0_ticket_appdata, SSL_SESSION_get_time,
    SSL_SESSION_set1_ticket_appdata, SSL_SESSION_set_time, SSL_SESSION_set_timeout,
    SSL_session_reused, SSL_set_ex_data, SSL_TICKET_NO_DECRYPT, SSL_TICKET_RETURN,
    SSL_TICKET_RETURN_IGNORE_RENEW, SSL_TICKET_RETURN_USE, SSL_TICKET_RETURN_USE_RENEW,
    SSL_TICKET_STATUS, SSL_TICKET_SUCCESS, SSL_TICKET_SUCCESS_RENEW, SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
    SSL_VERIFY_POST_HANDSHAKE, SSL_version, TICKET_MAC, TLS1_3_VERSION, fetched_aes128,
    fetched_aes256, set_ticket_key_callback, ticket_mac_init,
)

cdef extern from "readers.h" nogil:
    void *shared_load(shared_pointer *pointer)
    void *shared_exchange(shared_pointer *pointer, void *value)

cdef extern from "stdatomic.h" nogil:
    ctypedef enum memory_order:
        memory_order_acquire
        memory_order_release
    void atomic_thread_fence(memory_order order)


# Kept on an SSL_CTX once it has the callbacks; owned by it, freed with it.
cdef struct Installed:
    shared_pointer ring  # a Keyring, held; never NULL
    long timeout         # the SSL_CTX's own, seconds

cdef enum:
    BUILTIN_LENGTH = 80     # bytes, of OpenSSL's own keys for an SSL_CTX
    IV_LENGTH = 16          # bytes, with AES
    # What a ticket carries: this number, then the time of the full handshake in seconds of the Unix
    # epoch, big-endian in 8 bytes.
    APPDATA_FORMAT = 1
    APPDATA_LENGTH = 9
    # How much later than by our clock a full handshake may have been, in seconds, where keys have no
    # period.
    SKEW = 300

cdef EVP_CIPHER *aes128 = <EVP_CIPHER *> check_pointer(fetched_aes128(), b"EVP_CIPHER_fetch()")
cdef EVP_CIPHER *aes256 = <EVP_CIPHER *> check_pointer(fetched_aes256(), b"EVP_CIPHER_fetch()")


cdef int use_keyring(SSL_CTX *ctx, Keyring *ring) except -1:
    """Have connections that `ctx` creates use these keys. Not twice at once for one `ctx`."""
    cdef Installed *installed = installed_on(ctx)
    hold_keyring(ring)
    if installed is NULL:
        try:
            installed = install_callbacks(ctx, ring)
        except:
            release_keyring(ring)
            raise
    else:
        if (<Keyring *> shared_load(&installed.ring)).builtin:
            installed.timeout = SSL_CTX_get_timeout(ctx)
        release_keyring(<Keyring *> shared_exchange(&installed.ring, ring))
    SSL_CTX_set_timeout(ctx, <long> ring.lifetime)
    return 0


cdef bint stop_using(SSL_CTX *ctx, Keyring *ring) except -1:
    """Have them use OpenSSL's own again; False where they did not use `ring`.

    The callbacks stay: a handshake may be about to call them.
    """
    cdef Installed *installed = installed_on(ctx)
    cdef Keyring *own
    if installed is NULL or shared_load(&installed.ring) is not ring:
        return False
    own = builtin_keyring(ctx)
    release_keyring(<Keyring *> shared_exchange(&installed.ring, own))
    SSL_CTX_set_timeout(ctx, installed.timeout)
    return True


cdef Installed *install_callbacks(SSL_CTX *ctx, Keyring *ring) except NULL:
    """Takes over the caller's hold on `ring`, unless it raises."""
    cdef Installed *installed = <Installed *> check_pointer(
        OPENSSL_zalloc(sizeof(Installed)), b"OPENSSL_zalloc()")
    shared_exchange(&installed.ring, ring)
    installed.timeout = SSL_CTX_get_timeout(ctx)
    try:
        check(SSL_CTX_set_ex_data(ctx, installed_index, installed), b"SSL_CTX_set_ex_data()")
    except:
        OPENSSL_free(installed)
        raise
    # They cannot fail. A handshake in another thread may run any of them at once: first what tells
    # the key callback whose keys it is to use.
    atomic_thread_fence(memory_order_release)
    SSL_CTX_set_session_ticket_cb(ctx, on_ticket_made, on_ticket_read, installed)
    atomic_thread_fence(memory_order_release)
    set_ticket_key_callback(ctx, on_ticket_key)
    return installed


cdef Keyring *builtin_keyring(SSL_CTX *ctx) except NULL:
    """The keys that `ctx` has without ours, in a Keyring whose one reference is the caller's."""
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
    except:
        if ring is not NULL:
            release_keyring(ring)
        raise
    finally:
        OPENSSL_cleanse(keys, sizeof(keys))
        OPENSSL_cleanse(&key, sizeof(key))
    return ring


cdef inline Installed *installed_on(SSL_CTX *ctx) noexcept nogil:
    return <Installed *> SSL_CTX_get_ex_data(ctx, installed_index)


cdef inline Keyring *ring_of(Installed *installed) noexcept nogil:
    """Between enter() and leave()."""
    return <Keyring *> shared_load(&installed.ring)


cdef inline uint64_t now() noexcept nogil:
    return <uint64_t> time(NULL)


cdef bint note(SSL *ssl, Installed *installed) noexcept nogil:
    """Which SSL_CTX created `ssl`, for good: it lives as long as the connection."""
    return (SSL_get_ex_data(ssl, noted_index) is installed
            or SSL_set_ex_data(ssl, noted_index, installed))


cdef Keyring *ring_for(SSL *ssl) noexcept nogil:
    """Between enter() and leave(): what was noted, else a guess that others must look at."""
    cdef Installed *installed = <Installed *> SSL_get_ex_data(ssl, noted_index)
    if installed is NULL:
        installed = installed_on(SSL_get_SSL_CTX(ssl))
    return ring_of(installed) if installed is not NULL else NULL


cdef int on_ticket_key(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *ctx,
                       TICKET_MAC *mac, int enc) noexcept nogil:
    """See SSL_CTX_set_tlsext_ticket_key_evp_cb(3)."""
    cdef TicketKey key
    atomic_thread_fence(memory_order_acquire)  # pairs with install_callbacks()'s
    if enc:
        return encrypt(ssl, name, iv, ctx, mac, &key)
    return decrypt(ssl, name, iv, ctx, mac, &key)


cdef int encrypt(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *ctx,
                 TICKET_MAC *mac, TicketKey *key) noexcept nogil:
    """1, or -1 to end the handshake."""
    cdef atomic_size_t *inside = enter()
    cdef Keyring *ring = ring_for(ssl)
    cdef const TicketKey *found = current_key(ring, now()) if ring is not NULL else NULL
    cdef bint done
    if found is not NULL:
        key[0] = found[0]
        count(ring, ISSUED)
    leave(inside)
    if found is NULL:
        return -1
    memcpy(name, key.name, NAME_LENGTH)
    done = (RAND_bytes(iv, IV_LENGTH) > 0
            and EVP_EncryptInit_ex(ctx, cipher_of(key), NULL, key.aes, iv) > 0
            and ticket_mac_init(mac, key.hmac, key.length) > 0)
    OPENSSL_cleanse(key, sizeof(TicketKey))
    return 1 if done else -1


cdef int decrypt(SSL *ssl, const unsigned char *name, const unsigned char *iv,
                 EVP_CIPHER_CTX *ctx, TICKET_MAC *mac, TicketKey *key) noexcept nogil:
    """1, or 2 if the client is to be given a fresh ticket; 0 for a full handshake."""
    cdef bint renew = False
    cdef bint done
    if not copy_key(ssl, name, key, &renew):
        return 0
    done = (EVP_DecryptInit_ex(ctx, cipher_of(key), NULL, key.aes, iv) > 0
            and ticket_mac_init(mac, key.hmac, key.length) > 0)
    OPENSSL_cleanse(key, sizeof(TicketKey))
    if not done:
        # No error may be left behind where the handshake goes on, which began with an empty queue.
        ERR_clear_error()
        return 0
    # A client of TLS 1.3 uses a ticket once (RFC 8446, appendix C.4).
    return 2 if renew or SSL_version(ssl) == TLS1_3_VERSION else 1


cdef bint copy_key(SSL *ssl, const unsigned char *name, TicketKey *key,
                   bint *renew) noexcept nogil:
    cdef atomic_size_t *inside = enter()
    cdef Keyring *ring = ring_for(ssl)
    cdef const TicketKey *found = NULL
    if ring is not NULL:
        found = find_key(ring, name, now(), renew)
    if found is NULL:
        # The connection was switched before its ticket was read. on_ticket_read() knows better.
        found = find_anywhere(name, now(), renew)
    if found is not NULL:
        key[0] = found[0]
    leave(inside)
    return found is not NULL


cdef const EVP_CIPHER *cipher_of(const TicketKey *key) noexcept nogil:
    return aes128 if key.length == 16 else aes256


cdef int on_ticket_made(SSL *ssl, void *argument) noexcept nogil:
    """See SSL_CTX_set_session_ticket_cb(3): called before a session is written into a ticket."""
    cdef Installed *installed = <Installed *> argument
    cdef atomic_size_t *inside
    cdef Keyring *ring
    cdef uint64_t lifetime
    cdef bint builtin
    if installed is NULL:  # it is just being installed
        return 1
    if not note(ssl, installed):
        return 0
    inside = enter()
    ring = ring_of(installed)
    lifetime = ring.lifetime
    builtin = ring.builtin
    leave(inside)
    return 1 if builtin else write_time(ssl, SSL_get_session(ssl), lifetime)


cdef bint write_time(SSL *ssl, SSL_SESSION *session, uint64_t lifetime) noexcept nogil:
    """Have `session` carry the time of its full handshake, and end when that is too long ago."""
    cdef uint64_t full = now()
    cdef long left
    if SSL_session_reused(ssl):
        if SSL_version(ssl) != TLS1_3_VERSION:
            # Perhaps the cache's, which other threads look at. One without that time is resumed from
            # there alone.
            return True
        if not read_time(session, &full):
            full = 0  # not known: too long ago
    if not set_time(session, full):
        return False
    left = <long> (full + lifetime) - <long> SSL_SESSION_get_time(session)
    # The client is told, too, in the ticket's lifetime. With 0 OpenSSL fails to write a ticket: it
    # reads back another number.
    SSL_SESSION_set_timeout(session, left if left > 0 else 1)
    if left <= 0:
        # Over at once: one that stays in the cache has nothing else to end it.
        SSL_SESSION_set_time(session, 1)
    return True


cdef bint set_time(SSL_SESSION *session, uint64_t full) noexcept nogil:
    cdef unsigned char data[APPDATA_LENGTH]
    cdef int i
    data[0] = APPDATA_FORMAT
    for i in range(8):
        data[1 + i] = <unsigned char> (full >> (56 - 8 * i))
    return SSL_SESSION_set1_ticket_appdata(session, data, sizeof(data))


cdef bint read_time(SSL_SESSION *session, uint64_t *full) noexcept nogil:
    """The time of the full handshake, if `session` carries it."""
    cdef void *found
    cdef const unsigned char *data
    cdef size_t length
    cdef int i
    if not SSL_SESSION_get0_ticket_appdata(session, &found, &length):
        return False
    data = <const unsigned char *> found
    if length != APPDATA_LENGTH or data[0] != APPDATA_FORMAT:
        return False
    full[0] = 0
    for i in range(8):
        full[0] = full[0] << 8 | data[1 + i]
    return True


cdef SSL_TICKET_RETURN on_ticket_read(SSL *ssl, SSL_SESSION *session, const unsigned char *name,
                                      size_t length, SSL_TICKET_STATUS status,
                                      void *argument) noexcept nogil:
    """See SSL_CTX_set_session_ticket_cb(3): called when a ticket was decrypted, or could not be."""
    cdef Installed *installed = <Installed *> argument
    cdef SSL_TICKET_RETURN result = SSL_TICKET_RETURN_IGNORE_RENEW
    cdef atomic_size_t *inside
    if installed is NULL:  # it is just being installed: a full handshake
        return result
    inside = enter()
    if status in (SSL_TICKET_SUCCESS, SSL_TICKET_SUCCESS_RENEW):
        if judge(ring_of(installed), session, name, length):
            result = used(ring_of(installed), status, lacks_certificate(ssl, session))
    elif status == SSL_TICKET_NO_DECRYPT:
        count(ring_of(installed),
              INVALID if is_of(ring_of(installed), name, length) else UNKNOWN_KEY)
    leave(inside)
    return result


cdef bint is_of(Keyring *ring, const unsigned char *name, size_t length) noexcept nogil:
    cdef bint renew
    return length == NAME_LENGTH and find_key(ring, name, now(), &renew) is not NULL


cdef bint judge(Keyring *ring, SSL_SESSION *session, const unsigned char *name,
                size_t length) noexcept nogil:
    """Whether a ticket was made with keys of `ring`, and not too long ago."""
    cdef uint64_t full
    cdef uint64_t present = now()
    if not is_of(ring, name, length):
        count(ring, UNKNOWN_KEY)
        return False
    if ring.builtin:
        return True
    if not read_time(session, &full):
        count(ring, INVALID)
        return False
    if (present >= full + ring.lifetime
            or full > present + (ring.period if ring.period else SKEW)):
        count(ring, EXPIRED)
        return False
    return True


cdef bint lacks_certificate(SSL *ssl, SSL_SESSION *session) noexcept nogil:
    """Whether the server demands a client's certificate, and has none by this session.

    That it did not demand one before, id contexts tell only where they were chosen since.
    """
    cdef int mode = SSL_get_verify_mode(ssl)
    if not mode & SSL_VERIFY_FAIL_IF_NO_PEER_CERT:
        return False
    if mode & SSL_VERIFY_POST_HANDSHAKE and SSL_version(ssl) == TLS1_3_VERSION:
        return False  # it is demanded later
    return SSL_SESSION_get0_peer(session) is NULL


cdef SSL_TICKET_RETURN used(Keyring *ring, SSL_TICKET_STATUS status,
                            bint refused) noexcept nogil:
    count(ring, ACCEPTED)
    if refused:
        return SSL_TICKET_RETURN_IGNORE_RENEW
    if status != SSL_TICKET_SUCCESS_RENEW:
        return SSL_TICKET_RETURN_USE
    count(ring, RENEWED)
    return SSL_TICKET_RETURN_USE_RENEW


cdef void free_installed(void *ctx, void *kept, CRYPTO_EX_DATA *ad, int index, long argl,
                         void *argp) noexcept nogil:
    if kept is not NULL:
        release_keyring(<Keyring *> shared_load(&(<Installed *> kept).ring))
    OPENSSL_free(kept)


cdef int forget_noted(CRYPTO_EX_DATA *to, const CRYPTO_EX_DATA *original,
                      CRYPTO_EX_dup_from kept, int index, long argl, void *argp) noexcept nogil:
    # SSL_dup() creates another connection, with the SSL_CTX that the first one was switched to.
    cdef void **place = <void **> kept
    place[0] = NULL
    return 1


cdef int installed_index = check(
    SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, free_installed), b"SSL_CTX_get_ex_new_index()")
cdef int noted_index = check(
    SSL_get_ex_new_index(0, NULL, NULL, forget_noted, NULL), b"SSL_get_ex_new_index()")
