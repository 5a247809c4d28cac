"""What OpenSSL calls for sessions: the ticket keys of the connection's listener, and how old sessions get.

A ticket carries the time of its full handshake and when the client's certificates end, which TLS 1.3 would forget at
each renewal. The key callback is told neither an argument nor the SSL_CTX whose callback it is, which is the one that
the connection was created with; that may have been switched since. The other two callbacks for tickets have an
argument: the one notes it on the connection before a ticket is encrypted, the other looks at what was decrypted
without.
"""

import warnings

from libc.stdint cimport uint64_t
from libc.string cimport memcpy
from libc.time cimport time

from pysidctx.errors cimport check, check_pointer
from pysidctx.handshake.listener cimport Connection, Listener, connection_kept, listener_made, listener_of
from pysidctx.libssl cimport (
    CRYPTO_EX_DATA, CRYPTO_EX_dup_from, ERR_clear_error, EVP_CIPHER, EVP_CIPHER_CTX, EVP_DecryptInit_ex,
    EVP_EncryptInit_ex, OPENSSL_cleanse, OPENSSL_free, OPENSSL_zalloc, RAND_bytes, SSL, SSL_CTX, SSL_CTX_get_ex_data,
    SSL_CTX_get_ex_new_index, SSL_CTX_get_timeout, SSL_CTX_get_tlsext_ticket_keys, SSL_CTX_sess_set_new_cb,
    SSL_CTX_set_ex_data, SSL_CTX_set_session_ticket_cb, SSL_CTX_set_timeout, SSL_get_ex_data, SSL_get_ex_new_index,
    SSL_get_session, SSL_get_SSL_CTX, SSL_get_verify_mode, SSL_is_server, SSL_SESSION, SSL_SESSION_get0_peer,
    SSL_SESSION_get_timeout, SSL_SESSION_set_timeout, SSL_session_reused, SSL_set_ex_data, SSL_TICKET_NO_DECRYPT,
    SSL_TICKET_RETURN, SSL_TICKET_RETURN_IGNORE_RENEW, SSL_TICKET_RETURN_USE, SSL_TICKET_RETURN_USE_RENEW,
    SSL_TICKET_STATUS, SSL_TICKET_SUCCESS, SSL_TICKET_SUCCESS_RENEW, SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
    SSL_VERIFY_POST_HANDSHAKE, SSL_version, TLS1_3_VERSION,
)
from pysidctx.lockfree.readers cimport (
    atomic_exchange, atomic_load, atomic_size_t, atomic_thread_fence, flag_store, memory_order_acquire,
    memory_order_release, shared_exchange, shared_load, shared_pointer,
)
from pysidctx.openssl_compat cimport (
    SSL_SESSION_get_time, SSL_SESSION_set_time, TICKET_MAC, fetched_aes128, fetched_aes256, set_ticket_key_callback,
    ticket_mac_init,
)
from pysidctx.tickets.keyring cimport (
    ACCEPTED, EXPIRED, INVALID, ISSUED, NAME_LENGTH, Keyring, RENEWED, TicketKey, UNKNOWN_KEY, count,
    current_key, enter, find_anywhere, find_key, hold_keyring, leave, new_keyring, read_key,
    release_keyring, set_keys,
)
from pysidctx.tickets.times cimport Times, read_times, set_times
from pysidctx.tickets.verified_chain cimport verified_until


# Kept on an SSL_CTX once it has the callbacks; owned by it, freed with it.
cdef struct Installed:
    SSL_CTX *ctx
    shared_pointer ring  # a Keyring, held; never NULL
    long timeout         # the SSL_CTX's own, seconds

cdef enum:
    BUILTIN_LENGTH = 80     # bytes, of OpenSSL's own keys for an SSL_CTX
    IV_LENGTH = 16          # bytes, with AES
    # How much later than by our clock a full handshake may have been, in seconds, where keys have no
    # period.
    SKEW = 300

cdef EVP_CIPHER *aes128 = <EVP_CIPHER *> check_pointer(fetched_aes128(), b"EVP_CIPHER_fetch()")
cdef EVP_CIPHER *aes256 = <EVP_CIPHER *> check_pointer(fetched_aes256(), b"EVP_CIPHER_fetch()")


cdef int use_keyring(SSL_CTX *ctx, Keyring *ring) except -1:
    """Have connections that `ctx` creates use these keys. Not twice at once for one `ctx`."""
    cdef Installed *installed = installed_on(ctx)
    # Its callback notes for which SSL_CTX an id context is chosen.
    cdef Listener *listener = listener_made(ctx)
    hold_keyring(ring)
    if installed is NULL:
        try:
            installed = install_callbacks(ctx, ring)
        except BaseException:
            release_keyring(ring)
            raise
    else:
        if (<Keyring *> shared_load(&installed.ring)).builtin:
            installed.timeout = SSL_CTX_get_timeout(ctx)
        release_keyring(<Keyring *> shared_exchange(&installed.ring, ring))
    SSL_CTX_set_timeout(ctx, <long> ring.lifetime)
    flag_store(&listener.has_ticket_keys, not ring.builtin)
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
    flag_store(&listener_of(ctx).has_ticket_keys, False)
    return True


cdef Keyring *keyring_of(SSL_CTX *ctx) noexcept nogil:
    """What they use; NULL where that was always OpenSSL's own. No other call for `ctx` meanwhile."""
    cdef Installed *installed = installed_on(ctx)
    return NULL if installed is NULL else <Keyring *> shared_load(&installed.ring)


cdef Installed *install_callbacks(SSL_CTX *ctx, Keyring *ring) except NULL:
    """Takes over the caller's hold on `ring`, unless it raises."""
    cdef Installed *installed = <Installed *> check_pointer(
        OPENSSL_zalloc(sizeof(Installed)), b"OPENSSL_zalloc()")
    installed.ctx = ctx
    shared_exchange(&installed.ring, ring)
    installed.timeout = SSL_CTX_get_timeout(ctx)
    try:
        check(SSL_CTX_set_ex_data(ctx, installed_index, installed), b"SSL_CTX_set_ex_data()")
    except BaseException:
        OPENSSL_free(installed)
        raise
    # They cannot fail. A handshake in another thread may run any of them at once: first what tells
    # the key callback whose keys it is to use.
    atomic_thread_fence(memory_order_release)
    SSL_CTX_set_session_ticket_cb(ctx, on_ticket_made, on_ticket_read, installed)
    SSL_CTX_sess_set_new_cb(ctx, on_session_made)
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
    except BaseException:
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
    cdef Connection *connection
    if installed is NULL:
        connection = connection_kept(ssl)
        if connection is not NULL and connection.former is not NULL:
            installed = installed_on(connection.former)
        else:
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
        # Perhaps somebody else has switched it before its ticket was read. on_ticket_read() knows.
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
    return 1 if builtin else write_times(ssl, installed, SSL_get_session(ssl), lifetime)


cdef bint write_times(SSL *ssl, Installed *installed, SSL_SESSION *session, uint64_t lifetime) noexcept nogil:
    """Have `session` carry its Times, and end when they say so."""
    cdef bint apart = may_resume(ssl, installed.ctx)
    cdef Times times
    times.full = now()
    times.until = verified_until(ssl)
    if SSL_session_reused(ssl):
        if SSL_version(ssl) != TLS1_3_VERSION:
            # Perhaps the cache's, which other threads look at. One without Times is resumed from there
            # alone.
            return True
        inherit_times(session, &times)
    if not apart:
        times.until = 0
    if not set_times(session, &times):
        return False
    end_at(session, min(times.full + lifetime, times.until))
    return True


cdef void inherit_times(SSL_SESSION *session, Times *times) noexcept nogil:
    """Of the full handshake, in a connection that was resumed. A client verified since then may only end it earlier."""
    cdef Times former
    if not read_times(session, &former):
        times.until = 0  # not known: too long ago
        return
    times.full = former.full
    times.until = min(times.until, former.until)


cdef void end_at(SSL_SESSION *session, uint64_t end) noexcept nogil:
    """`end` in seconds of the Unix epoch; a client is told, too, in the ticket's lifetime."""
    cdef uint64_t begin = <uint64_t> SSL_SESSION_get_time(session)
    if end > begin:
        SSL_SESSION_set_timeout(session, <long> (end - begin))
        return
    # Over at once: one that stays in the cache has nothing else to end it. With a timeout of 0 OpenSSL fails to
    # write a ticket: it reads back another number.
    SSL_SESSION_set_timeout(session, 1)
    SSL_SESSION_set_time(session, 1)


cdef int on_session_made(SSL *ssl, SSL_SESSION *session) noexcept nogil:
    """See SSL_CTX_sess_set_new_cb(3): OpenSSL keeps `session`, for clients without tickets.

    0: this function keeps no reference to it.
    """
    cdef Times times
    cdef Connection *connection = connection_kept(ssl)
    if not SSL_is_server(ssl) or read_times(session, &times):  # on_ticket_made() has seen to it
        return 0
    times.until = verified_until(ssl)
    if connection is not NULL and connection.chosen and not may_resume(ssl, connection.chosen_for):
        times.until = 0
    end_at(session, min(<uint64_t> (SSL_SESSION_get_time(session) + SSL_SESSION_get_timeout(session)), times.until))
    return 0


cdef bint may_resume(SSL *ssl, SSL_CTX *created_with) noexcept nogil:
    """Whether `ssl` is served by the SSL_CTX that its id context was chosen for, as all of those connections are.

    If not, the sessions of the one get past what the other demands of clients: the ClientHello callback resumes
    none of them from then on. Not between enter() and leave(): the first time it takes the GIL.
    """
    cdef Connection *connection = connection_kept(ssl)
    cdef SSL_CTX *chosen_for = created_with
    cdef Listener *listener
    if connection is not NULL and connection.chosen:
        chosen_for = connection.chosen_for
    listener = listener_of(chosen_for)
    if listener is NULL:  # it is just being made
        return False
    if SSL_get_SSL_CTX(ssl) is chosen_for:
        return atomic_load(&listener.left) == 0
    if atomic_exchange(&listener.left, 1) == 0:
        warn_of_switch()
    return False


cdef void warn_of_switch() noexcept with gil:
    warnings.warn(
        "pysidctx: a connection was switched to another SSLContext, by sni_callback or by setting its `context`, after "
        "its session id context was chosen. From here on, sessions of the SSLContext that it was switched from are not "
        "resumed: they would get past what the other one demands of clients. Choose the SSLContext by a HostMap",
        RuntimeWarning)


cdef SSL_TICKET_RETURN on_ticket_read(SSL *ssl, SSL_SESSION *session, const unsigned char *name,
                                      size_t length, SSL_TICKET_STATUS status,
                                      void *argument) noexcept nogil:
    """See SSL_CTX_set_session_ticket_cb(3): called when a ticket was decrypted, or could not be."""
    cdef Installed *installed = <Installed *> argument
    cdef SSL_TICKET_RETURN result = SSL_TICKET_RETURN_IGNORE_RENEW
    cdef bint decrypted = status in (SSL_TICKET_SUCCESS, SSL_TICKET_SUCCESS_RENEW)
    cdef bint refused = False
    cdef atomic_size_t *inside
    if installed is NULL:  # it is just being installed: a full handshake
        return result
    # Before enter(): it may take the GIL, for which others may wait who wait for those inside.
    if decrypted:
        refused = lacks_certificate(ssl, session) or not may_resume(ssl, installed.ctx)
    inside = enter()
    if decrypted:
        if judge(ring_of(installed), session, name, length):
            result = used(ring_of(installed), status == SSL_TICKET_SUCCESS_RENEW, refused)
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
    cdef Times times
    cdef uint64_t present = now()
    if not is_of(ring, name, length):
        count(ring, UNKNOWN_KEY)
        return False
    if ring.builtin:
        return True
    if not read_times(session, &times):
        count(ring, INVALID)
        return False
    if (present >= min(times.full + ring.lifetime, times.until)
            or times.full > present + (ring.period if ring.period else SKEW)):
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


cdef SSL_TICKET_RETURN used(Keyring *ring, bint renew, bint refused) noexcept nogil:
    count(ring, ACCEPTED)
    if refused:
        return SSL_TICKET_RETURN_IGNORE_RENEW
    if not renew:
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
