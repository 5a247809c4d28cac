from libc.stdint cimport uint64_t

from pysidctx.lockfree.readers cimport atomic_int, atomic_size_t, retired_node, shared_pointer
from pysidctx.tickets.secret_fingerprint cimport FINGERPRINT_LENGTH

cdef enum:
    NAME_LENGTH = 16  # bytes of a ticket key's name, on the wire in front of each ticket
    KEY_LENGTH = 32   # bytes, at most, of each of a ticket key's two secrets

# As RFC 5077, section 4, recommends: encrypted with AES-CBC, then authenticated with HMAC-SHA256.
cdef struct TicketKey:
    unsigned char name[NAME_LENGTH]
    unsigned char hmac[KEY_LENGTH]
    unsigned char aes[KEY_LENGTH]
    unsigned int length  # of hmac and of aes: 16 or 32 bytes

# Immutable once it is published in a Keyring, but for `succeeds`.
cdef struct KeySet:
    retired_node node
    atomic_size_t succeeds  # whether it has replaced another one by the clock, and has not encrypted yet
    # For keys that derive from a secret: the number of the current period, and the Unix times in seconds
    # between which this set is used.
    uint64_t period, begin, end
    size_t count
    size_t current     # tickets of the first `current` keys need no renewal; the very first key encrypts
    TicketKey *keys

cdef enum Counter:
    ISSUED, ACCEPTED, RENEWED, UNKNOWN_KEY, INVALID, EXPIRED, COUNTERS

# The keys that SSL_CTXs share. Reference-counted; overwritten and freed with the last reference.
cdef struct Keyring:
    atomic_size_t references
    shared_pointer next       # in the list of all Keyrings
    shared_pointer keyset     # a KeySet
    bint builtin              # OpenSSL's own keys of one SSL_CTX, which have no lifetime
    uint64_t lifetime         # seconds after the full handshake
    uint64_t period           # seconds; 0 if the keys do not derive from a secret
    unsigned char *secret
    size_t secret_length
    unsigned char fingerprint[FINGERPRINT_LENGTH]  # of the secret
    atomic_size_t rotated     # the period whose key began to encrypt since take_rotation() returned it; 0 for none
    atomic_size_t counters[COUNTERS]

# That a Keyring began to encrypt with the key of another period.
cdef struct Rotation:
    uint64_t period
    unsigned char fingerprint[FINGERPRINT_LENGTH]

cdef Keyring *new_keyring(uint64_t lifetime) except NULL
cdef int derive_from(Keyring *ring, const unsigned char *secret, size_t length,
                     uint64_t period) except -1
cdef void read_key(TicketKey *key, const unsigned char *data, size_t size,
                   bint hmac_first) noexcept nogil
cdef int set_keys(Keyring *ring, const TicketKey *keys, size_t count) except -1
cdef void hold_keyring(Keyring *ring) noexcept nogil
cdef void release_keyring(Keyring *ring) noexcept nogil

# A key that a lookup returns stays valid between enter_lookup() and leave_lookup().
cdef atomic_size_t *enter_lookup() noexcept nogil
cdef void leave_lookup(atomic_size_t *inside) noexcept nogil
cdef void wait_for_lookups() noexcept nogil
cdef const TicketKey *current_key(Keyring *ring, uint64_t now) noexcept nogil
cdef const TicketKey *find_key(Keyring *ring, const unsigned char *name, uint64_t now,
                               bint *renew) noexcept nogil
cdef const TicketKey *find_anywhere(const unsigned char *name, uint64_t now,
                                    bint *renew) noexcept nogil

cdef bint take_rotation(Rotation *taken) noexcept nogil
cdef void count_ticket(Keyring *ring, Counter counter) noexcept nogil
cdef size_t tickets_counted(Keyring *ring, Counter counter) noexcept nogil
