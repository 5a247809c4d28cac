from libc.stdint cimport uint64_t

from pysidctx.lockfree.readers cimport atomic_size_t, shared_pointer

cdef enum:
    NAME_LENGTH = 16  # bytes of a ticket key's name, on the wire in front of each ticket
    KEY_LENGTH = 32   # bytes, at most, of each of a ticket key's two secrets

# As RFC 5077, section 4, recommends: encrypted with AES-CBC, then authenticated with HMAC-SHA256.
cdef struct TicketKey:
    unsigned char name[NAME_LENGTH]
    unsigned char hmac[KEY_LENGTH]
    unsigned char aes[KEY_LENGTH]
    unsigned int length  # of each of the two: 16 or 32 bytes

# Never changed once it can be found.
cdef struct KeySet:
    # Where keys derive from a secret: the number of its period, and when it is to be used, in seconds
    # of the Unix epoch.
    uint64_t period, begin, end
    size_t count
    size_t current     # how many, from the first on, need no renewal yet: the first encrypts
    void *retired      # the KeySet after it among those to be freed
    TicketKey *keys

cdef enum Counter:
    ISSUED, ACCEPTED, RENEWED, UNKNOWN_KEY, INVALID, EXPIRED, COUNTERS

# The keys that SSL_CTXs share. Owned by all who hold it; wiped with the last of them.
cdef struct Keyring:
    atomic_size_t references
    shared_pointer next       # among all Keyrings
    shared_pointer keyset     # a KeySet
    bint builtin              # OpenSSL's own for one SSL_CTX: without a lifetime
    uint64_t lifetime         # seconds, from the full handshake on
    uint64_t period           # seconds; 0: the keys do not derive from a secret
    unsigned char *secret
    size_t secret_length
    atomic_size_t counters[COUNTERS]

cdef Keyring *new_keyring(uint64_t lifetime) except NULL
cdef int derive_from(Keyring *ring, const unsigned char *secret, size_t length,
                     uint64_t period) except -1
cdef void read_key(TicketKey *key, const unsigned char *data, size_t size,
                   bint hmac_first) noexcept nogil
cdef int set_keys(Keyring *ring, const TicketKey *keys, size_t count) except -1
cdef void hold_keyring(Keyring *ring) noexcept nogil
cdef void release_keyring(Keyring *ring) noexcept nogil

# For those who look keys up: what they find lasts from enter_lookup() to leave_lookup().
cdef atomic_size_t *enter_lookup() noexcept nogil
cdef void leave_lookup(atomic_size_t *inside) noexcept nogil
cdef void wait_for_lookups() noexcept nogil
cdef const TicketKey *current_key(Keyring *ring, uint64_t now) noexcept nogil
cdef const TicketKey *find_key(Keyring *ring, const unsigned char *name, uint64_t now,
                               bint *renew) noexcept nogil
cdef const TicketKey *find_anywhere(const unsigned char *name, uint64_t now,
                                    bint *renew) noexcept nogil

cdef void count_ticket(Keyring *ring, Counter counter) noexcept nogil
cdef size_t tickets_counted(Keyring *ring, Counter counter) noexcept nogil
