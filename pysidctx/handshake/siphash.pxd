"""siphash.h, declared for Cython."""

cdef extern from "handshake/siphash.h" nogil:
    ctypedef struct siphash_key:
        pass
    ctypedef struct siphash_value:
        pass
    siphash_value siphash(const siphash_key *key, const unsigned char *data, size_t length)
