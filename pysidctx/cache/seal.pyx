"""Seals what processes share: AES-256-GCM with a key for each period, derived from a secret.

Any thread seals and opens at any time, without locks: each takes a Sealer, which holds contexts that are ready to use,
derived keys, and nonces drawn ahead.
"""

cimport cython

from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcpy, memset, strlen

from pysidctx.binding cimport bind_openssl
from pysidctx.cache.slab cimport (
    SLAB_NAME_LENGTH, SLAB_NONCE_LENGTH, SLAB_SEAL_LENGTH, SLAB_TAG_LENGTH, SLAB_WORD, slab_entry, slab_packed,
    slab_words,
)
from pysidctx.errors cimport check, check_pointer
from pysidctx.libssl cimport (
    ERR_clear_error, EVP_CIPHER, EVP_CIPHER_CTX, EVP_CIPHER_CTX_ctrl, EVP_CIPHER_CTX_free, EVP_CIPHER_CTX_new,
    EVP_CTRL_AEAD_GET_TAG, EVP_CTRL_AEAD_SET_TAG, EVP_DecryptFinal_ex, EVP_DecryptInit_ex, EVP_DecryptUpdate,
    EVP_EncryptFinal_ex, EVP_EncryptInit_ex, EVP_EncryptUpdate, OPENSSL_clear_free, OPENSSL_cleanse, OPENSSL_memdup,
    OPENSSL_zalloc, RAND_bytes,
)
from pysidctx.lockfree.readers cimport (
    THREAD_SLOTS, atomic_fetch_add, atomic_load_explicit, atomic_size_t, memory_order_relaxed, shared_exchange,
    thread_slot,
)
from pysidctx.openssl_compat cimport fetched_aes256_gcm
from pysidctx.tickets.hkdf cimport derive_key
from pysidctx.tickets.times cimport write_number

bind_openssl()

cdef extern from "pthread.h" nogil:
    int pthread_atfork(void (*prepare)() noexcept nogil, void (*parent)() noexcept nogil,
                       void (*child)() noexcept nogil)

cdef const char *SALT = b"pysidctx session cache 1"

cdef enum:
    NONCES = 64  # drawn at once: each draw takes as long as sealing
    ASSOCIATED_LENGTH = SLAB_NAME_LENGTH + 8

cdef struct DerivedKey:
    uint64_t number  # of its period, plus 1; 0: none is derived yet
    unsigned char key[SEAL_KEY_LENGTH]

# What one thread at a time uses. It belongs to one SealKeys.
cdef struct Sealer:
    EVP_CIPHER_CTX *encrypting
    EVP_CIPHER_CTX *decrypting
    uint64_t encrypts     # with the key of this period, plus 1; 0: with none yet
    uint64_t decrypts
    unsigned char nonces[NONCES * SLAB_NONCE_LENGTH]
    size_t drawn          # nonces that are not used yet
    size_t forks          # as many as there had been when they were drawn
    size_t places
    DerivedKey *derived   # the number of a period selects the place

cdef EVP_CIPHER *aes256_gcm = <EVP_CIPHER *> check_pointer(fetched_aes256_gcm(), b"EVP_CIPHER_fetch()")

# Nonces that were drawn before a fork are used by the parent: a child that used them, too, would break the seal.
cdef atomic_size_t forks


@cython.cdivision(True)
cdef SealKeys *new_seal_keys(const unsigned char *secret, size_t length, uint64_t period,
                             uint64_t lifetime) except NULL:
    """Copy the secret and try it. Raises MemoryError, and Error if OpenSSL fails."""
    cdef SealKeys *keys = <SealKeys *> OPENSSL_zalloc(sizeof(SealKeys))
    cdef unsigned char trial[SEAL_KEY_LENGTH]
    if keys is not NULL:
        keys.secret = <unsigned char *> OPENSSL_memdup(secret, length)
    if keys is NULL or keys.secret is NULL:
        OPENSSL_clear_free(keys, sizeof(SealKeys))
        ERR_clear_error()
        raise MemoryError("out of memory while storing a cache's secret")
    keys.secret_length = length
    keys.period = period
    keys.back = (lifetime + period - 1) // period
    try:
        check(derive_labelled(keys, b"trial", trial, sizeof(trial)), b"EVP_PKEY_derive()")
    except BaseException:
        free_seal_keys(keys)
        raise
    return keys


cdef void free_seal_keys(SealKeys *keys) noexcept nogil:
    """Wipe and free the keys, which no thread uses any more."""
    cdef int i
    for i in range(THREAD_SLOTS):
        free_sealer(<Sealer *> shared_exchange(&keys.idle[i], NULL))
    OPENSSL_clear_free(keys.secret, keys.secret_length)
    OPENSSL_clear_free(keys, sizeof(SealKeys))


cdef bint derive_labelled(SealKeys *keys, const char *label, unsigned char *out, size_t length) noexcept nogil:
    """Derive bytes for another purpose than sealing. Returns False if OpenSSL fails; its queue then says why."""
    return derive_key(out, length, keys.secret, <int> keys.secret_length, <const unsigned char *> SALT,
                      <int> strlen(SALT), <const unsigned char *> label, <int> strlen(label)) > 0


cdef bint derive_period(SealKeys *keys, uint32_t number, unsigned char *key) noexcept nogil:
    cdef unsigned char info[8]
    write_number(info, number)
    return derive_key(key, SEAL_KEY_LENGTH, keys.secret, <int> keys.secret_length, <const unsigned char *> SALT,
                      <int> strlen(SALT), info, sizeof(info)) > 0


cdef Sealer *take_sealer(SealKeys *keys) noexcept nogil:
    """Return a Sealer for this thread alone, or NULL if memory runs out."""
    cdef Sealer *sealer = <Sealer *> shared_exchange(&keys.idle[thread_slot()], NULL)
    return new_sealer(keys) if sealer is NULL else sealer


cdef void leave_sealer(SealKeys *keys, Sealer *sealer) noexcept nogil:
    # Two threads may have the same slot.
    free_sealer(<Sealer *> shared_exchange(&keys.idle[thread_slot()], sealer))


cdef Sealer *new_sealer(SealKeys *keys) noexcept nogil:
    cdef Sealer *sealer = <Sealer *> OPENSSL_zalloc(sizeof(Sealer))
    if sealer is NULL:
        return NULL
    sealer.places = keys.back + 3  # with the period before the last, the next one, and NO_PERIOD
    sealer.derived = <DerivedKey *> OPENSSL_zalloc(sealer.places * sizeof(DerivedKey))
    sealer.encrypting = EVP_CIPHER_CTX_new()
    sealer.decrypting = EVP_CIPHER_CTX_new()
    if (sealer.derived is NULL or sealer.encrypting is NULL or sealer.decrypting is NULL
            or EVP_EncryptInit_ex(sealer.encrypting, aes256_gcm, NULL, NULL, NULL) <= 0
            or EVP_DecryptInit_ex(sealer.decrypting, aes256_gcm, NULL, NULL, NULL) <= 0):
        free_sealer(sealer)
        return NULL
    return sealer


cdef void free_sealer(Sealer *sealer) noexcept nogil:
    if sealer is not NULL:
        EVP_CIPHER_CTX_free(sealer.encrypting)  # which wipes the key in it
        EVP_CIPHER_CTX_free(sealer.decrypting)
        OPENSSL_clear_free(sealer.derived, sealer.places * sizeof(DerivedKey))
        OPENSSL_clear_free(sealer, sizeof(Sealer))


@cython.cdivision(True)
cdef const unsigned char *key_of(SealKeys *keys, Sealer *sealer, uint32_t number) noexcept nogil:
    """Return the key of a period, which stays valid until the next call; NULL if OpenSSL fails."""
    cdef DerivedKey *place = &sealer.derived[number % sealer.places]
    if place.number != <uint64_t> number + 1:
        place.number = 0
        if not derive_period(keys, number, place.key):
            return NULL
        place.number = <uint64_t> number + 1
    return place.key


cdef bint use_key(SealKeys *keys, Sealer *sealer, uint32_t number, bint encrypt) noexcept nogil:
    """Make one of the two contexts use the key of a period, unless it does already."""
    cdef uint64_t *used = &sealer.encrypts if encrypt else &sealer.decrypts
    cdef const unsigned char *key
    if used[0] == <uint64_t> number + 1:
        return True
    used[0] = 0
    key = key_of(keys, sealer, number)
    if key is NULL:
        return False
    if encrypt:
        if EVP_EncryptInit_ex(sealer.encrypting, NULL, NULL, key, NULL) <= 0:
            return False
    elif EVP_DecryptInit_ex(sealer.decrypting, NULL, NULL, key, NULL) <= 0:
        return False
    used[0] = <uint64_t> number + 1
    return True


cdef bint draw_nonce(Sealer *sealer, unsigned char *nonce) noexcept nogil:
    cdef size_t present = atomic_load_explicit(&forks, memory_order_relaxed)
    if sealer.drawn == 0 or sealer.forks != present:
        sealer.drawn = 0
        if RAND_bytes(sealer.nonces, sizeof(sealer.nonces)) <= 0:
            return False
        sealer.forks = present
        sealer.drawn = NONCES
    sealer.drawn -= 1
    memcpy(nonce, sealer.nonces + sealer.drawn * SLAB_NONCE_LENGTH, SLAB_NONCE_LENGTH)
    return True


cdef void write_associated(unsigned char *out, const unsigned char *name, uint64_t packed) noexcept nogil:
    memcpy(out, name, SLAB_NAME_LENGTH)
    write_number(out + SLAB_NAME_LENGTH, packed)


cdef bint seal_data(SealKeys *keys, uint32_t number, const unsigned char *name, uint64_t packed, unsigned char *nonce,
                    unsigned char *tag, unsigned char *data, size_t length) noexcept nogil:
    """Encrypt `data` in its place, for the period `number`, with a fresh nonce, and bind it to name and `packed`.

    Returns False if OpenSSL fails: then `data` must not be used, and OpenSSL's error queue may say why.
    """
    cdef Sealer *sealer = take_sealer(keys)
    cdef unsigned char associated[ASSOCIATED_LENGTH]
    cdef int done = 0
    cdef bint sealed
    if sealer is NULL:
        return False
    write_associated(associated, name, packed)
    sealed = (draw_nonce(sealer, nonce)
              and use_key(keys, sealer, number, True)
              and EVP_EncryptInit_ex(sealer.encrypting, NULL, NULL, NULL, nonce) > 0
              and EVP_EncryptUpdate(sealer.encrypting, NULL, &done, associated, ASSOCIATED_LENGTH) > 0
              and EVP_EncryptUpdate(sealer.encrypting, data, &done, data, <int> length) > 0
              and EVP_EncryptFinal_ex(sealer.encrypting, data + done, &done) > 0
              and EVP_CIPHER_CTX_ctrl(sealer.encrypting, EVP_CTRL_AEAD_GET_TAG, SLAB_TAG_LENGTH, tag) > 0)
    leave_sealer(keys, sealer)
    return sealed


cdef bint open_data(SealKeys *keys, uint32_t number, const unsigned char *name, uint64_t packed,
                    const unsigned char *nonce, const unsigned char *tag, unsigned char *data,
                    size_t length) noexcept nogil:
    """Decrypt `data` in its place. Returns False, and wipes it, if it is not what seal_data() has made."""
    cdef Sealer *sealer = take_sealer(keys)
    cdef unsigned char associated[ASSOCIATED_LENGTH]
    cdef int done = 0
    cdef bint opened
    if sealer is NULL:
        return False
    write_associated(associated, name, packed)
    opened = (use_key(keys, sealer, number, False)
              and EVP_DecryptInit_ex(sealer.decrypting, NULL, NULL, NULL, nonce) > 0
              and EVP_DecryptUpdate(sealer.decrypting, NULL, &done, associated, ASSOCIATED_LENGTH) > 0
              and EVP_DecryptUpdate(sealer.decrypting, data, &done, data, <int> length) > 0
              and EVP_CIPHER_CTX_ctrl(sealer.decrypting, EVP_CTRL_AEAD_SET_TAG, SLAB_TAG_LENGTH, <void *> tag) > 0
              and EVP_DecryptFinal_ex(sealer.decrypting, data + done, &done) > 0)
    leave_sealer(keys, sealer)
    if not opened:
        OPENSSL_cleanse(data, length)
    return opened


@cython.cdivision(True)
cdef bint seal_entry(SealKeys *keys, const unsigned char *name, slab_entry *entry, uint64_t now) noexcept nogil:
    """Seal an entry, whose end, length and data are set, with the key of the present period.

    What fills its last word is shared, too, and must not be what was on the stack.
    """
    entry.period = <uint32_t> (now // keys.period)
    memset(entry.data + entry.length, 0, slab_words(entry.length) * SLAB_WORD - SLAB_SEAL_LENGTH - entry.length)
    return seal_data(keys, entry.period, name, slab_packed(entry), entry.nonce, entry.tag, entry.data, entry.length)


@cython.cdivision(True)
cdef bint open_entry(SealKeys *keys, const unsigned char *name, slab_entry *entry, uint64_t now) noexcept nogil:
    """Open an entry that was sealed in this period or in one of those before, or with the next one's key.

    Clocks differ, and anything may be in the shared memory.
    """
    cdef uint64_t present = now // keys.period
    if not present <= entry.period + keys.back + 1 or entry.period > present + 1:
        return False
    return open_data(keys, entry.period, name, slab_packed(entry), entry.nonce, entry.tag, entry.data, entry.length)


cdef void count_fork() noexcept nogil:
    atomic_fetch_add(&forks, 1)


check(pthread_atfork(NULL, NULL, count_fork) == 0, b"pthread_atfork()")
