"""Puts sessions into the memory that processes share, sealed and without their peer, and makes sessions of them again.

What the sessions of one peer have in common is stored once, in pieces, and decoded once in each process: its template.
"""

cimport cython

from cpython.ref cimport Py_INCREF
from libc.stdint cimport uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from pysidctx.binding cimport bind_openssl
from pysidctx.cache.forgotten cimport forgotten_memory, forgotten_note, is_forgotten, release_known
from pysidctx.cache.outbox cimport (
    OUTBOX_PEER, OUTBOX_SESSION, outbox, outbox_add, outbox_is_active, outbox_mark_sent, outbox_numbers, outbox_slot,
    outbox_was_active, outbox_was_sent,
)
from pysidctx.cache.own_store cimport delete_from, get_from, put_into, release_store
from pysidctx.cache.record cimport MOST_RECORD, Record, apply_record, read_record, write_record
from pysidctx.cache.seal cimport SealKeys, free_seal_keys, new_seal_keys, open_entry, seal_entry
from pysidctx.cache.slab cimport (
    SLAB_EVICTED, SLAB_MOST_DATA, SLAB_NAME_LENGTH, slab_end_of, slab_entry, slab_read, slab_region, slab_set_size,
    slab_write,
)
from pysidctx.cache.templates cimport (
    MOST_TEMPLATE, TEMPLATE_KEY_LENGTH, add_template, describe_peer, duplicate_template, free_templates,
    new_templates,
)
from pysidctx.libssl cimport (
    ERR_clear_error, OPENSSL_cleanse, OPENSSL_clear_free, OPENSSL_free, OPENSSL_zalloc, SSL,
    SSL_MAX_SSL_SESSION_ID_LENGTH, SSL_SESSION, SSL_SESSION_free, SSL_SESSION_get_id,
)
from pysidctx.lockfree.counts cimport COUNT_SESSIONS, count_for_all
from pysidctx.lockfree.readers cimport (
    atomic_fetch_add, atomic_fetch_add_explicit, atomic_fetch_sub, atomic_load_explicit, memory_order_relaxed,
)
from pysidctx.tickets.times cimport Times, read_number, write_number

bind_openssl()

cdef extern from "sys/mman.h" nogil:
    enum:
        PROT_READ
        PROT_WRITE
        MAP_SHARED
        MAP_POPULATE
    void *MAP_FAILED
    void *mmap(void *addr, size_t length, int prot, int flags, int fd, long offset)
    int munmap(void *addr, size_t length)

cdef enum:
    HEADER_LENGTH = 4096             # bytes, of memory.py
    PEERS_SHARE = 4                  # of the memory, one part in four is for peers
    OUTGOING_SHARE = 32              # and one in 32 for what goes to other machines
    LENGTH_LENGTH = 8                # bytes, before the first piece: how long all pieces are together
    SKEW = 5                         # seconds by which the clocks of machines differ, if sessions are replicated


@cython.cdivision(True)
cdef Cache *new_cache(SealKeys *keys, int file, size_t size, uint64_t lifetime, size_t peers,
                      object own) except NULL:
    """Map the memory of `file`. Takes over `keys`, unless it raises OSError or MemoryError.

    Entries go to `own`, a user's own store, unless that is None.

    The caller owns the only reference, and closes `file`, at the latest when it drops that.
    """
    cdef Cache *cache = <Cache *> OPENSSL_zalloc(sizeof(Cache))
    cdef void *memory
    if cache is NULL:
        ERR_clear_error()  # since 3.2, OpenSSL queues an error when an allocation fails
        raise MemoryError("out of memory while making a cache")
    try:
        cache.templates = new_templates(peers)
        # Otherwise each page costs this process's handshakes a fault, which takes longer than storing a session.
        with nogil:
            memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, file, 0)
        if memory is MAP_FAILED:
            raise MemoryError(f"{size} bytes of shared memory cannot be mapped: pass a smaller size")
    except BaseException:
        if cache.templates is not NULL:
            free_templates(cache.templates)
        OPENSSL_free(cache)
        raise
    cache.memory = <unsigned char *> memory
    cache.size = size
    cache.forgotten.memory = <forgotten_memory *> (cache.memory + HEADER_LENGTH)
    lay_out(cache.memory, size, &cache.sessions, &cache.peers, &cache.outgoing)
    cache.keys = cache.forgotten.keys = keys
    cache.lifetime = lifetime
    if own is not None:
        Py_INCREF(own)
        cache.own = <void *> own
    hold_cache(cache)
    return cache


@cython.cdivision(True)
cdef void lay_out(unsigned char *memory, size_t size, slab_region *sessions, slab_region *peers,
                  outbox *outgoing) noexcept nogil:
    """Part a memory of `size` bytes, after its header and the list of what was forgotten."""
    cdef size_t rest = size - HEADER_LENGTH - sizeof(forgotten_memory) - sizeof(outbox_numbers)
    memory += HEADER_LENGTH + sizeof(forgotten_memory)
    outgoing.count = rest // OUTGOING_SHARE // sizeof(outbox_slot)
    rest -= outgoing.count * sizeof(outbox_slot)
    peers.memory = memory
    peers.most = SLAB_MOST_DATA
    peers.sets = rest // PEERS_SHARE // slab_set_size(peers.most)
    rest -= peers.sets * slab_set_size(peers.most)
    memory += peers.sets * slab_set_size(peers.most)
    sessions.memory = memory
    sessions.most = MOST_RECORD
    sessions.sets = rest // slab_set_size(sessions.most)
    memory += sessions.sets * slab_set_size(sessions.most)
    outgoing.numbers = <outbox_numbers *> memory
    outgoing.slots = <outbox_slot *> (memory + sizeof(outbox_numbers))


@cython.cdivision(True)
cdef uint64_t slack(uint64_t lifetime) noexcept nogil:
    """Return for how long a peer's pieces outlive its sessions, in seconds: not every session stores them again."""
    return lifetime // 8 + 1


cdef SealKeys *new_store_keys(const unsigned char *secret, size_t length, uint64_t period,
                              uint64_t lifetime) except NULL:
    """Return the keys for new_cache(). Raises what new_seal_keys() raises."""
    return new_seal_keys(secret, length, period, lifetime + slack(lifetime))


cdef size_t least_size() noexcept nogil:
    """Return how many bytes a memory has in which there is one set of each kind."""
    return (HEADER_LENGTH + sizeof(forgotten_memory) + sizeof(outbox_numbers) + OUTGOING_SHARE * sizeof(outbox_slot)
            + PEERS_SHARE * (slab_set_size(SLAB_MOST_DATA) + slab_set_size(MOST_RECORD)))


cdef void hold_cache(Cache *cache) noexcept nogil:
    atomic_fetch_add(&cache.references, 1)


cdef void release_cache(Cache *cache) noexcept nogil:
    """Drop a reference from new_cache() or hold_cache()."""
    if atomic_fetch_sub(&cache.references, 1) > 1:
        return
    if cache.own is not NULL:
        release_store(cache.own)
    release_known(&cache.forgotten)
    free_templates(cache.templates)
    free_seal_keys(cache.keys)
    munmap(cache.memory, cache.size)
    OPENSSL_clear_free(cache, sizeof(Cache))


cdef void count(Cache *cache, Counter counter) noexcept nogil:
    atomic_fetch_add_explicit(&cache.counters[<int> counter], 1, memory_order_relaxed)
    count_for_all(COUNT_SESSIONS + <unsigned int> counter)


cdef size_t counted(Cache *cache, Counter counter) noexcept nogil:
    return atomic_load_explicit(&cache.counters[<int> counter], memory_order_relaxed)


cdef bint store_session(Cache *cache, SSL_SESSION *session, const Times *times, uint64_t now,
                        unsigned char *key, bint key_known) noexcept nogil:
    """Store a session that ends with the cache's lifetime or with its peer's certificates.

    `key` is its template's key, or receives it unless `key_known`. Returns whether it is stored. Errors may be left
    in OpenSSL's queue.
    """
    cdef uint64_t end = min(times.full + cache.lifetime, times.until)
    cdef unsigned int length
    cdef const unsigned char *id = SSL_SESSION_get_id(session, &length)
    cdef slab_entry entry
    if length != SSL_MAX_SSL_SESSION_ID_LENGTH or end <= now:
        return False
    if not store_peer(cache, session, end, now, key, key_known):
        return False
    entry.end = end
    entry.length = write_record(session, key, times, end, entry.data)
    if entry.length == 0:
        count(cache, TOO_LARGE)
        return False
    if not seal_entry(cache.keys, id, &entry, now):
        OPENSSL_cleanse(entry.data, entry.length)
        return False
    forgotten_note(cache.forgotten.memory, times.full)
    count(cache, STORED)
    write_entry(cache, OUTBOX_SESSION, id, &entry, now)
    return True


cdef bint store_peer(Cache *cache, SSL_SESSION *session, uint64_t end, uint64_t now, unsigned char *key,
                     bint key_known) noexcept nogil:
    """Make sure that the template of a session is stored until the session ends."""
    cdef unsigned char *der = NULL
    cdef size_t length = 0
    cdef bint wanted = outbox_is_active(&cache.outgoing, now)
    cdef bint stored
    if key_known and end_of_named(cache, OUTBOX_PEER, key) >= end and not (
            wanted and not outbox_was_sent(&cache.outgoing, key, now)):
        return True
    if not describe_peer(session, key, &der, &length):
        count(cache, TOO_LARGE)
        return False
    if wanted and not outbox_was_sent(&cache.outgoing, key, now):
        # Other machines may have missed it, although this one has it.
        stored = write_pieces(cache, key, der, length, end, now)
        outbox_mark_sent(&cache.outgoing, key, now)
    else:
        stored = has_pieces(cache, key, length, end, now) or write_pieces(cache, key, der, length, end, now)
    OPENSSL_free(der)
    return stored


cdef void name_piece(const unsigned char *key, uint64_t number, unsigned char *name) noexcept nogil:
    """Write the name of one of a template's pieces. The first one's is the template's key."""
    cdef int i
    cdef uint64_t part
    memcpy(name, key, SLAB_NAME_LENGTH)
    for i in range(0, SLAB_NAME_LENGTH, 8):
        memcpy(&part, name + i, sizeof(part))
        part += number * <uint64_t> 0x9e3779b97f4a7c15  # odd: the pieces are spread over the sets
        memcpy(name + i, &part, sizeof(part))


@cython.cdivision(True)
cdef inline uint64_t pieces_of(size_t length) noexcept nogil:
    return (LENGTH_LENGTH + length + SLAB_MOST_DATA - 1) // SLAB_MOST_DATA


cdef bint has_pieces(Cache *cache, const unsigned char *key, size_t length, uint64_t end, uint64_t now) noexcept nogil:
    """Whether all pieces of a template can be read until `end`.

    They are opened, because one that is torn would otherwise stay so for as long as its peer comes back.
    """
    cdef slab_entry entry
    cdef unsigned char name[SLAB_NAME_LENGTH]
    cdef uint64_t i
    for i in range(pieces_of(length)):
        name_piece(key, i, name)
        if not open_named(cache, OUTBOX_PEER, name, &entry, now) or entry.end < end:
            return False
    return True


@cython.cdivision(True)
cdef bint write_pieces(Cache *cache, const unsigned char *key, const unsigned char *der, size_t length, uint64_t end,
                       uint64_t now) noexcept nogil:
    cdef slab_entry entry
    cdef unsigned char name[SLAB_NAME_LENGTH]
    cdef size_t taken, begin, done = 0
    cdef uint64_t i
    entry.end = end + slack(cache.lifetime)
    for i in range(pieces_of(length)):
        begin = 0
        if i == 0:
            write_number(entry.data, length)
            begin = LENGTH_LENGTH
        taken = min(length - done, SLAB_MOST_DATA - begin)
        memcpy(entry.data + begin, der + done, taken)
        done += taken
        entry.length = begin + taken
        name_piece(key, i, name)
        if not seal_entry(cache.keys, name, &entry, now):
            return False
        write_entry(cache, OUTBOX_PEER, name, &entry, now)
    return True


cdef void write_entry(Cache *cache, int kind, const unsigned char *name, const slab_entry *entry,
                      uint64_t now) noexcept nogil:
    """Write a sealed entry, which also goes to the other machines if there are any."""
    place_entry(cache, kind, name, entry, now)
    if outbox_is_active(&cache.outgoing, now):
        outbox_add(&cache.outgoing, kind, name, entry)


cdef void place_entry(Cache *cache, int kind, const unsigned char *name, const slab_entry *entry,
                      uint64_t now) noexcept nogil:
    cdef slab_region *region = &cache.sessions if kind == OUTBOX_SESSION else &cache.peers
    if cache.own is not NULL:
        put_into(cache.own, kind, name, entry, now)
    elif slab_write(region, name, entry, now) == SLAB_EVICTED:
        count(cache, EVICTED)


cdef SSL_SESSION *find_session(Cache *cache, SSL *ssl, const unsigned char *id, uint64_t now,
                               unsigned char *key) noexcept nogil:
    """Return the session with an id of 32 bytes, which the caller owns, and write its template's key; or NULL.

    Errors may be left in OpenSSL's queue.
    """
    cdef SSL_SESSION *session = NULL
    cdef slab_entry entry
    if open_named(cache, OUTBOX_SESSION, id, &entry, now):
        if entry.end <= now:
            count(cache, EXPIRED)
        else:
            session = session_of(cache, ssl, id, &entry, now, key)
        OPENSSL_cleanse(entry.data, entry.length)
    count(cache, MISSES if session is NULL else HITS)
    return session


cdef bint open_named(Cache *cache, int kind, const unsigned char *name, slab_entry *entry,
                     uint64_t now) noexcept nogil:
    """Read and open the entry of that kind and name, if there is one. It may have ended."""
    cdef slab_region *region = &cache.sessions if kind == OUTBOX_SESSION else &cache.peers
    cdef int cursor = 0
    if cache.own is not NULL:
        return open_own(cache, kind, name, entry, now)
    while slab_read(region, name, &cursor, entry):
        if open_entry(cache.keys, name, entry, now):
            return True
        count(cache, TORN)
    return False


cdef bint open_own(Cache *cache, int kind, const unsigned char *name, slab_entry *entry, uint64_t now) noexcept nogil:
    if not get_from(cache.own, kind, name, entry):
        return False
    if not open_entry(cache.keys, name, entry, now):
        count(cache, TORN)
        delete_from(cache.own, kind, name)
        return False
    if entry.end <= now:
        delete_from(cache.own, kind, name)
    return True


cdef uint64_t end_of_named(Cache *cache, int kind, const unsigned char *name) noexcept nogil:
    """When an entry ends, as it says itself: a Unix time in seconds; 0 if there is none."""
    cdef slab_entry entry
    if cache.own is not NULL:
        return entry.end if get_from(cache.own, kind, name, &entry) else 0
    return slab_end_of(&cache.sessions if kind == OUTBOX_SESSION else &cache.peers, name)


cdef SSL_SESSION *session_of(Cache *cache, SSL *ssl, const unsigned char *id, slab_entry *entry, uint64_t now,
                             unsigned char *key) noexcept nogil:
    cdef Record record
    cdef unsigned char peer[32]
    cdef SSL_SESSION *session
    if not read_record(entry.data, entry.length, &record):
        return NULL
    memcpy(key, record.template_key, TEMPLATE_KEY_LENGTH)
    session = template_session(cache, key, peer, now)
    if session is NULL:
        return NULL
    if not is_valid(cache, peer, &record, now) or not apply_record(ssl, session, id, &record):
        SSL_SESSION_free(session)
        return NULL
    return session


cdef bint is_valid(Cache *cache, const unsigned char *peer, const Record *record, uint64_t now) noexcept nogil:
    """Whether the session may still be resumed. Counts it if not."""
    cdef const Times *times = &record.times
    cdef uint64_t skew
    # Another process may have stored it, with a longer lifetime.
    if now >= min(times.full + cache.lifetime, times.until) or times.full > now + cache.keys.period:
        count(cache, EXPIRED)
        return False
    # Another machine, whose clock differs, may have made the session, or forgotten it.
    skew = SKEW if outbox_was_active(&cache.outgoing, now) else 0
    if is_forgotten(&cache.forgotten, peer, record.id_context.data, <unsigned int> record.id_context.length,
                    times.full - skew, now):
        count(cache, FORGOTTEN)
        return False
    return True


cdef SSL_SESSION *template_session(Cache *cache, const unsigned char *key, unsigned char *peer,
                                   uint64_t now) noexcept nogil:
    """Return a duplicate of a template, which is decoded if this process has not done so yet; or NULL."""
    cdef SSL_SESSION *session = duplicate_template(cache.templates, key, peer)
    if session is NULL and decode_peer(cache, key, now):
        session = duplicate_template(cache.templates, key, peer)
    return session


cdef bint decode_peer(Cache *cache, const unsigned char *key, uint64_t now) noexcept nogil:
    cdef unsigned char *der = NULL
    cdef size_t length = 0
    cdef bint decoded = read_pieces(cache, key, &der, &length, now) and add_template(cache.templates, key, der, length)
    free(der)
    count(cache, PEERS_DECODED if decoded else PEERS_MISSING)
    return decoded


cdef bint read_pieces(Cache *cache, const unsigned char *key, unsigned char **der, size_t *length,
                      uint64_t now) noexcept nogil:
    """Put a template's pieces together. `der` is the caller's to free(), in any case."""
    cdef slab_entry entry
    cdef unsigned char name[SLAB_NAME_LENGTH]
    cdef size_t begin, done = 0
    cdef uint64_t i = 0
    while i == 0 or done < length[0]:
        name_piece(key, i, name)
        if not open_named(cache, OUTBOX_PEER, name, &entry, now):
            return False
        begin = 0
        if i == 0:
            if entry.length < LENGTH_LENGTH:
                return False
            length[0] = read_number(entry.data)
            if not 0 < length[0] <= MOST_TEMPLATE:
                return False
            der[0] = <unsigned char *> malloc(length[0])
            if der[0] is NULL:
                return False
            begin = LENGTH_LENGTH
        if not begin < entry.length <= begin + length[0] - done:
            return False
        memcpy(der[0] + done, entry.data + begin, entry.length - begin)
        done += entry.length - begin
        i += 1
    return True


cdef void end_session(Cache *cache, const unsigned char *id, uint64_t end, uint64_t now) noexcept nogil:
    """Make a stored session end at `end`, a Unix time in seconds, unless it ends before."""
    cdef slab_entry entry
    if not open_named(cache, OUTBOX_SESSION, id, &entry, now):
        return
    if entry.end > end:
        entry.end = end
        if seal_entry(cache.keys, id, &entry, now):
            write_entry(cache, OUTBOX_SESSION, id, &entry, now)
    OPENSSL_cleanse(entry.data, entry.length)
