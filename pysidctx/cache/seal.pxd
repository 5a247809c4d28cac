from libc.stdint cimport uint32_t, uint64_t

from pysidctx.cache.slab cimport slab_entry
from pysidctx.lockfree.readers cimport THREAD_SLOTS, shared_pointer

cdef enum:
    SEAL_KEY_LENGTH = 32
    # The number of no period: its key seals what has no end.
    NO_PERIOD = 0xffffffff

# The keys of a cache: one for each period, derived from a secret, with AES-256-GCM.
cdef struct SealKeys:
    unsigned char *secret
    size_t secret_length
    uint64_t period       # seconds
    uint64_t back         # how many periods before the present one are accepted
    shared_pointer idle[THREAD_SLOTS]  # Sealers that no thread is using

cdef SealKeys *new_seal_keys(const unsigned char *secret, size_t length, uint64_t period,
                             uint64_t lifetime) except NULL
cdef void free_seal_keys(SealKeys *keys) noexcept nogil
cdef bint derive_labelled(SealKeys *keys, const char *label, unsigned char *out, size_t length) noexcept nogil
cdef bint seal_data(SealKeys *keys, uint32_t number, const unsigned char *name, uint64_t packed, unsigned char *nonce,
                    unsigned char *tag, unsigned char *data, size_t length) noexcept nogil
cdef bint open_data(SealKeys *keys, uint32_t number, const unsigned char *name, uint64_t packed,
                    const unsigned char *nonce, const unsigned char *tag, unsigned char *data,
                    size_t length) noexcept nogil
cdef bint seal_entry(SealKeys *keys, const unsigned char *name, slab_entry *entry, uint64_t now) noexcept nogil
cdef bint open_entry(SealKeys *keys, const unsigned char *name, slab_entry *entry, uint64_t now) noexcept nogil
