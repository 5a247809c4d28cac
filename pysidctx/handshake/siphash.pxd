"""siphash.h, declared for Cython."""

from libc.stdint cimport uint64_t

cdef extern from "handshake/siphash.h" nogil:
    ctypedef struct siphash_key:
        pass
    ctypedef struct siphash_value:
        uint64_t words[2]
    siphash_value siphash(const siphash_key *key, const unsigned char *data, size_t length)
