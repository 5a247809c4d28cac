"""Ticket keys that SSL_CTXs share: looked up by name, derived for each period, overwritten when freed.

Handshakes look keys up in any thread, without the GIL. A replaced set of keys is freed once every lookup
that began before the replacement has ended.
"""

cimport cython

from libc.stdint cimport UINT64_MAX, uint64_t
from libc.string cimport memcmp, memcpy

from pysidctx.binding cimport bind_openssl
from pysidctx.deferred_log cimport log_soon
from pysidctx.errors cimport check
from pysidctx.libssl cimport (
    ERR_clear_error, ERR_pop_to_mark, ERR_set_mark, OPENSSL_cleanse, OPENSSL_clear_free,
    OPENSSL_memdup, OPENSSL_zalloc,
)
from pysidctx.lockfree.counts cimport COUNT_TICKETS, count_for_all
from pysidctx.lockfree.readers cimport (
    atomic_exchange_size, atomic_fetch_add, atomic_fetch_add_explicit, atomic_fetch_sub, atomic_load_explicit,
    free_retired, gate_enter, gate_init, gate_leave, gate_wait, memory_order_relaxed, reader_gate, retire,
    shared_exchange, shared_load,
)
from pysidctx.tickets.hkdf cimport derive_key
from pysidctx.tickets.secret_fingerprint cimport FINGERPRINT_LENGTH, derive_fingerprint

bind_openssl()

cdef extern from "pthread.h" nogil:
    ctypedef struct pthread_mutex_t:
        pass
    int pthread_atfork(void (*prepare)() noexcept nogil, void (*parent)() noexcept nogil,
                       void (*child)() noexcept nogil)
    int pthread_mutex_init(pthread_mutex_t *mutex, const void *attributes)
    int pthread_mutex_lock(pthread_mutex_t *mutex)
    int pthread_mutex_unlock(pthread_mutex_t *mutex)


# Counts the lookups in progress. Never wait for it while `changes` is locked: a lookup may lock `changes`.
cdef reader_gate gate
# Protects changes of a Keyring's set and of the list of all Keyrings.
cdef pthread_mutex_t changes
# The head of the list of all Keyrings.
cdef shared_pointer keyrings
# Replaced KeySets, which are freed when no lookup can use them any more.
cdef shared_pointer retired

cdef const char *SALT = b"pysidctx ticket keys 1"
cdef enum:
    SALT_LENGTH = 22
    # The derived bytes of one period's key: the name, then the two secrets.
    DERIVED_LENGTH = NAME_LENGTH + 2 * KEY_LENGTH
    # find_anywhere() derives no further sets once it has derived this many keys.
    MOST_DERIVED = 64


cdef Keyring *new_keyring(uint64_t lifetime) except NULL:
    """Create a Keyring without keys. The caller owns its only reference. Raises MemoryError."""
    cdef Keyring *ring = <Keyring *> OPENSSL_zalloc(sizeof(Keyring))
    if ring is NULL:
        raise_no_memory()
    ring.lifetime = lifetime
    atomic_fetch_add(&ring.references, 1)
    pthread_mutex_lock(&changes)
    shared_exchange(&ring.next, shared_load(&keyrings))
    shared_exchange(&keyrings, ring)
    pthread_mutex_unlock(&changes)
    return ring


cdef int raise_no_memory() except -1:
    ERR_clear_error()  # since 3.2, OpenSSL queues an error when an allocation fails
    raise MemoryError("out of memory while storing ticket keys")


cdef void hold_keyring(Keyring *ring) noexcept nogil:
    atomic_fetch_add(&ring.references, 1)


cdef void release_keyring(Keyring *ring) noexcept nogil:
    """Drop a reference from new_keyring() or hold_keyring(). Not between enter_lookup() and leave_lookup()."""
    cdef shared_pointer *place
    if atomic_fetch_sub(&ring.references, 1) > 1:
        return
    pthread_mutex_lock(&changes)
    place = &keyrings
    while shared_load(place) is not ring:
        place = &(<Keyring *> shared_load(place)).next
    shared_exchange(place, shared_load(&ring.next))
    pthread_mutex_unlock(&changes)
    wait_for_lookups()
    free_set(shared_load(&ring.keyset))
    OPENSSL_clear_free(ring.secret, ring.secret_length)
    OPENSSL_clear_free(ring, sizeof(Keyring))


cdef int derive_from(Keyring *ring, const unsigned char *secret, size_t length,
                     uint64_t period) except -1:
    """Make a new Keyring derive its keys from `secret`, one for each `period` seconds."""
    ring.secret = <unsigned char *> OPENSSL_memdup(secret, length)
    if ring.secret is NULL:
        raise_no_memory()
    ring.secret_length = length
    ring.period = period
    # A trial: a derivation that fails here would fail in each handshake.
    cdef TicketKey key
    cdef int result = derive_period(ring, &key, 0)
    OPENSSL_cleanse(&key, sizeof(key))
    check(result, b"EVP_PKEY_derive()")
    check(derive_fingerprint(ring.fingerprint, ring.secret, length), b"EVP_PKEY_derive()")
    return 0


cdef void read_key(TicketKey *key, const unsigned char *data, size_t size,
                   bint hmac_first) noexcept nogil:
    """Read a key from `size` bytes, 48 or 80: its name, then its two secrets in the order of `hmac_first`."""
    cdef const unsigned char *first = data + NAME_LENGTH
    cdef const unsigned char *second
    memcpy(key.name, data, NAME_LENGTH)
    key.length = <unsigned int> (size - NAME_LENGTH) // 2
    second = first + key.length
    memcpy(key.hmac, first if hmac_first else second, key.length)
    memcpy(key.aes, second if hmac_first else first, key.length)


cdef int set_keys(Keyring *ring, const TicketKey *keys, size_t count) except -1:
    """Replace the keys of `ring`: the first encrypts, all of them decrypt."""
    cdef KeySet *made = new_set(count)
    if made is NULL:
        raise_no_memory()
    made.current = 1
    memcpy(made.keys, keys, count * sizeof(TicketKey))
    pthread_mutex_lock(&changes)
    replace_set(ring, made)
    pthread_mutex_unlock(&changes)
    free_retired(&retired, &gate, free_set)
    return 0


cdef KeySet *new_set(size_t count) noexcept nogil:
    cdef KeySet *made = <KeySet *> OPENSSL_zalloc(sizeof(KeySet))
    if made is NULL:
        return NULL
    made.count = count
    made.keys = <TicketKey *> OPENSSL_zalloc(count * sizeof(TicketKey))
    if made.keys is NULL:
        free_set(made)
        return NULL
    return made


cdef void free_set(void *given) noexcept nogil:
    """Overwrite and free a KeySet, or NULL."""
    cdef KeySet *keyset = <KeySet *> given
    if keyset is not NULL:
        OPENSSL_clear_free(keyset.keys, keyset.count * sizeof(TicketKey))
        OPENSSL_clear_free(keyset, sizeof(KeySet))


cdef void replace_set(Keyring *ring, KeySet *made) noexcept nogil:
    """Publish `made`. Needs `changes` locked. The next free_retired() frees the former set."""
    cdef KeySet *former = <KeySet *> shared_exchange(&ring.keyset, made)
    if former is not NULL:
        retire(&retired, &former.node)


cdef atomic_size_t *enter_lookup() noexcept nogil:
    return gate_enter(&gate)


cdef void leave_lookup(atomic_size_t *inside) noexcept nogil:
    gate_leave(inside)
    free_retired(&retired, &gate, free_set)


cdef void wait_for_lookups() noexcept nogil:
    """Wait until every lookup that has begun has ended. Lookups never wait for the caller."""
    gate_wait(&gate)


cdef const TicketKey *current_key(Keyring *ring, uint64_t now) noexcept nogil:
    """Return the key to encrypt with, or NULL if there is none."""
    cdef KeySet *keyset = set_at(ring, now)
    if keyset is NULL:
        return NULL
    # Here alone: set_at() also derives the keys of a Keyring with which no connection encrypts, to find one.
    if atomic_load_explicit(&keyset.succeeds, memory_order_relaxed) and atomic_exchange_size(&keyset.succeeds, 0):
        atomic_exchange_size(&ring.rotated, <size_t> keyset.period)
        log_soon()
    return keyset.keys


cdef const TicketKey *find_key(Keyring *ring, const unsigned char *name, uint64_t now,
                               bint *renew) noexcept nogil:
    """Return the key with a name of NAME_LENGTH (16) bytes, or NULL if there is none.

    Sets `renew` if it is an older key, so that the client is to be given a new ticket.
    """
    return key_in(set_at(ring, now), name, renew)


cdef const TicketKey *key_in(const KeySet *keyset, const unsigned char *name,
                             bint *renew) noexcept nogil:
    cdef size_t i
    if keyset is NULL:
        return NULL
    for i in range(keyset.count):
        # memcmp() does not run in constant time, which is safe because names are not secret.
        if memcmp(keyset.keys[i].name, name, NAME_LENGTH) == 0:
            renew[0] = i >= keyset.current
            return &keyset.keys[i]
    return NULL


cdef const TicketKey *find_anywhere(const unsigned char *name, uint64_t now,
                                    bint *renew) noexcept nogil:
    """Like find_key(), but search all Keyrings.

    Only the first few Keyrings that have not derived their keys for that time do so now. This bounds what
    an unknown name costs a handshake.
    """
    cdef Keyring *ring = <Keyring *> shared_load(&keyrings)
    cdef KeySet *keyset
    cdef const TicketKey *key
    cdef size_t derived = 0
    while ring is not NULL:
        keyset = <KeySet *> shared_load(&ring.keyset)
        if derived < MOST_DERIVED and not is_good(ring, keyset, now):
            keyset = set_at(ring, now)
            derived += keyset.count if keyset is not NULL else 1
        key = key_in(keyset, name, renew)
        if key is not NULL:
            return key
        ring = <Keyring *> shared_load(&ring.next)
    return NULL


cdef KeySet *set_at(Keyring *ring, uint64_t now) noexcept nogil:
    """Return the set for a Unix time in seconds; an older set, or NULL, if memory runs out."""
    cdef KeySet *keyset = <KeySet *> shared_load(&ring.keyset)
    if is_good(ring, keyset, now):
        return keyset
    pthread_mutex_lock(&changes)
    keyset = <KeySet *> shared_load(&ring.keyset)
    if not is_good(ring, keyset, now):
        rotate(ring, keyset, now)
        keyset = <KeySet *> shared_load(&ring.keyset)
    pthread_mutex_unlock(&changes)
    return keyset


cdef bint is_good(const Keyring *ring, const KeySet *keyset, uint64_t now) noexcept nogil:
    """Whether `keyset` is the set that `ring` uses at that time."""
    return ring.period == 0 or (keyset is not NULL and keyset.begin <= now < keyset.end)


@cython.cdivision(True)
cdef void rotate(Keyring *ring, const KeySet *former, uint64_t now) noexcept nogil:
    """Derive the keys for the period of `now`, for the next one, and for those whose tickets may still be valid.

    Needs `changes` locked. Keys that `former` holds are copied, not derived again.
    """
    cdef uint64_t period = now // ring.period
    cdef uint64_t back = min(period, (ring.lifetime + ring.period - 1) // ring.period)
    cdef KeySet *made
    cdef uint64_t i
    cdef bint derived = True
    ERR_set_mark()
    made = new_set(back + 2)
    if made is not NULL:
        made.period = period
        # One period earlier, because another thread may have read the clock a little before this one.
        made.begin = (period - 1) * ring.period if period else 0
        made.end = (period + 1) * ring.period
        made.current = 2  # a renewal cannot give a newer key than that of the next period
        for i in range(made.count):
            derived = derived and take_key(ring, former, &made.keys[i], number_of(period, i))
        if former is not NULL:
            atomic_exchange_size(&made.succeeds, 1)
        if derived:
            replace_set(ring, made)
        else:
            free_set(made)
    ERR_pop_to_mark()


cdef uint64_t number_of(uint64_t period, uint64_t i) noexcept nogil:
    """Return the period of the key at index `i`: the current period, the next one, then earlier ones."""
    if i == 1:
        return period + 1
    return period - i + (i > 1)


cdef uint64_t place_of(uint64_t period, uint64_t number) noexcept nogil:
    """The reverse of number_of(): return the index of a period's key; UINT64_MAX if it lies further ahead."""
    if number > period:
        return 1 if number == period + 1 else UINT64_MAX
    return period - number + (number < period)


cdef bint take_key(Keyring *ring, const KeySet *former, TicketKey *key,
                   uint64_t number) noexcept nogil:
    cdef uint64_t i
    if former is not NULL:
        i = place_of(former.period, number)
        if i < former.count:
            memcpy(key, &former.keys[i], sizeof(TicketKey))
            return True
    return derive_period(ring, key, number) > 0


cdef int derive_period(Keyring *ring, TicketKey *key, uint64_t number) noexcept nogil:
    """Derive the key of period `number`. Returns 0 or less if OpenSSL fails."""
    cdef unsigned char info[8]
    cdef unsigned char derived[DERIVED_LENGTH]
    cdef int i, result
    for i in range(8):
        info[i] = <unsigned char> (number >> (56 - 8 * i))
    result = derive_key(derived, sizeof(derived), ring.secret, <int> ring.secret_length,
                        <const unsigned char *> SALT, SALT_LENGTH, info, sizeof(info))
    if result > 0:
        read_key(key, derived, sizeof(derived), True)
    OPENSSL_cleanse(derived, sizeof(derived))
    return result


cdef bint take_rotation(Rotation *taken) noexcept nogil:
    """Return in `taken` a rotation that was not returned yet. Returns False if there is none.

    It calls nothing of OpenSSL's: a child that is forked meanwhile would not get its locks.
    """
    cdef atomic_size_t *inside = enter_lookup()
    cdef Keyring *ring = <Keyring *> shared_load(&keyrings)
    taken.period = 0
    while ring is not NULL and taken.period == 0:
        taken.period = atomic_exchange_size(&ring.rotated, 0)
        memcpy(taken.fingerprint, ring.fingerprint, FINGERPRINT_LENGTH)
        ring = <Keyring *> shared_load(&ring.next)
    gate_leave(inside)
    return taken.period != 0


cdef void count_ticket(Keyring *ring, Counter counter) noexcept nogil:
    atomic_fetch_add_explicit(&ring.counters[<int> counter], 1, memory_order_relaxed)
    count_for_all(COUNT_TICKETS + <unsigned int> counter)


cdef size_t tickets_counted(Keyring *ring, Counter counter) noexcept nogil:
    return atomic_load_explicit(&ring.counters[<int> counter], memory_order_relaxed)


cdef void renew_locks() noexcept nogil:
    """Initialize the locks, at import and again in a forked child, which lacks the threads that held them.

    Data that such a thread was changing is still consistent, because each change is a single store. At worst
    some memory is never freed.
    """
    gate_init(&gate)
    pthread_mutex_init(&changes, NULL)


renew_locks()
check(pthread_atfork(NULL, NULL, renew_locks) == 0, b"pthread_atfork()")
