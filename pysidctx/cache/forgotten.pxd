from libc.stdint cimport uint64_t

from pysidctx.cache.seal cimport SealKeys
from pysidctx.lockfree.readers cimport shared_pointer

cdef extern from "cache/forgotten.h" nogil:
    enum:
        FORGOTTEN_MOST
        FORGOTTEN_NAME_LENGTH

    ctypedef struct forgotten_entry:
        unsigned char *name
        uint64_t since

    ctypedef struct forgotten_list:
        uint64_t generation
        uint64_t count
        forgotten_entry *entries

    ctypedef struct forgotten_copy:
        unsigned char *nonce
        unsigned char *tag
        forgotten_list list

    ctypedef struct forgotten_memory:
        pass

    uint64_t forgotten_generation(const forgotten_memory *memory)
    void forgotten_note(forgotten_memory *memory, uint64_t full)
    uint64_t forgotten_moment(const forgotten_memory *memory, uint64_t now)
    void forgotten_read(const forgotten_memory *memory, uint64_t generation, forgotten_copy *copy)
    void forgotten_write(forgotten_memory *memory, uint64_t generation, const forgotten_copy *copy)

    ctypedef struct forgotten_writer:
        int file

    void forgotten_init(forgotten_writer *writer)
    int forgotten_lock(forgotten_writer *writer, int file, int seconds)
    void forgotten_unlock(forgotten_writer *writer)

# What of a cache's sessions was forgotten, as this process knows it.
cdef struct Forgotten:
    forgotten_memory *memory  # the processes share it
    SealKeys *keys
    shared_pointer known      # a KnownList; NULL before the first look

cdef bytes first_list(SealKeys *keys)
cdef bint is_forgotten(Forgotten *forgotten, const unsigned char *peer, const unsigned char *sid_ctx,
                       unsigned int sid_ctx_length, uint64_t full, uint64_t now) noexcept nogil
cdef bint is_readable(Forgotten *forgotten, uint64_t now) noexcept nogil
cdef int forget_name(Forgotten *forgotten, int file, const unsigned char *name, uint64_t now) noexcept nogil
cdef int forget_listed(Forgotten *forgotten, int file, const forgotten_entry *entries, size_t length,
                       uint64_t now) noexcept nogil
cdef forgotten_list *read_forgotten(Forgotten *forgotten, uint64_t now) noexcept nogil
cdef void release_known(Forgotten *forgotten) noexcept nogil
cdef bint name_id_context(const unsigned char *sid_ctx, size_t length, unsigned char *name) noexcept nogil
