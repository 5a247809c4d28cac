"""slab.h, declared for Cython."""

from libc.stdint cimport uint32_t, uint64_t

cdef extern from "cache/slab.h" nogil:
    enum:
        SLAB_NAME_LENGTH
        SLAB_NONCE_LENGTH
        SLAB_TAG_LENGTH
        SLAB_MOST_DATA
        SLAB_SEAL_LENGTH
        SLAB_WAYS
        SLAB_WORD
        SLAB_EVICTED
        SLAB_PACKED_HEAD
        SLAB_MOST_PACKED

    ctypedef struct slab_entry:
        uint64_t end
        uint64_t length
        uint32_t period
        unsigned char *nonce
        unsigned char *tag
        unsigned char *data

    ctypedef struct slab_region:
        unsigned char *memory
        uint64_t sets
        size_t most

    size_t slab_set_size(size_t most)
    size_t slab_words(uint64_t length)
    uint64_t slab_packed(const slab_entry *entry)
    size_t slab_pack(const slab_entry *entry, unsigned char *data)
    size_t slab_unpack(const unsigned char *data, size_t left, slab_entry *entry)
    int slab_write(const slab_region *region, const unsigned char *name, const slab_entry *entry, uint64_t now)
    int slab_read(const slab_region *region, const unsigned char *name, int *cursor, slab_entry *entry)
    uint64_t slab_end_of(const slab_region *region, const unsigned char *name)
    uint64_t slab_count(const slab_region *region, uint64_t now)
