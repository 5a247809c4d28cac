from libc.stdint cimport uint64_t

from pysidctx.cache.forgotten cimport Forgotten
from pysidctx.cache.outbox cimport outbox
from pysidctx.cache.seal cimport SealKeys
from pysidctx.cache.slab cimport slab_entry, slab_region
from pysidctx.cache.templates cimport Templates
from pysidctx.libssl cimport SSL, SSL_SESSION
from pysidctx.lockfree.readers cimport atomic_size_t
from pysidctx.tickets.times cimport Times

cdef enum Counter:
    STORED
    HITS
    MISSES
    EXPIRED
    FORGOTTEN
    TORN
    EVICTED
    TOO_LARGE
    PEERS_DECODED
    PEERS_MISSING
    COUNTERS

cdef struct Cache:
    atomic_size_t references
    unsigned char *memory     # which processes share
    size_t size               # bytes
    slab_region sessions
    slab_region peers
    outbox outgoing
    SealKeys *keys
    Templates *templates
    Forgotten forgotten
    uint64_t lifetime         # seconds
    void *own                 # the user's own store, or NULL: a Python object, of which this holds a reference
    atomic_size_t counters[COUNTERS]

cdef SealKeys *new_store_keys(const unsigned char *secret, size_t length, uint64_t period,
                              uint64_t lifetime) except NULL
cdef Cache *new_cache(SealKeys *keys, int file, size_t size, uint64_t lifetime, size_t peers,
                      object own) except NULL
cdef void hold_cache(Cache *cache) noexcept nogil
cdef void release_cache(Cache *cache) noexcept nogil
cdef void count(Cache *cache, Counter counter) noexcept nogil
cdef size_t counted(Cache *cache, Counter counter) noexcept nogil
cdef bint store_session(Cache *cache, SSL_SESSION *session, const Times *times, uint64_t now,
                        unsigned char *key, bint key_known) noexcept nogil
cdef SSL_SESSION *find_session(Cache *cache, SSL *ssl, const unsigned char *id, uint64_t now,
                               unsigned char *key) noexcept nogil
cdef void end_session(Cache *cache, const unsigned char *id, uint64_t end, uint64_t now) noexcept nogil
cdef void lay_out(unsigned char *memory, size_t size, slab_region *sessions, slab_region *peers,
                  outbox *outgoing) noexcept nogil
cdef size_t least_size() noexcept nogil
cdef uint64_t end_of_named(Cache *cache, int kind, const unsigned char *name) noexcept nogil
cdef void place_entry(Cache *cache, int kind, const unsigned char *name, const slab_entry *entry,
                      uint64_t now) noexcept nogil
