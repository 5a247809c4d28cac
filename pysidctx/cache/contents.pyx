"""What is in the memory of a SessionCache, in numbers, for those who only look: it takes no secret."""

import os

from pysidctx.cache import memory as shared_memory

from libc.stdint cimport uint64_t

from pysidctx.binding cimport bind_openssl
from pysidctx.cache.outbox cimport outbox
from pysidctx.cache.slab cimport SLAB_WAYS, slab_count, slab_region
from pysidctx.cache.store cimport lay_out
from pysidctx.tickets.expiry cimport unix_time

bind_openssl()

cdef extern from "sys/mman.h" nogil:
    enum:
        PROT_READ
        MAP_SHARED
    void *MAP_FAILED
    void *mmap(void *addr, size_t length, int prot, int flags, int fd, long offset)
    int munmap(void *addr, size_t length)


def contents(path):
    """Return a dict of numbers. Raises OSError, and ValueError if the file is not the memory of a SessionCache."""
    identity = shared_memory.read_identity(path)
    cdef size_t size = identity.size
    cdef int file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    cdef void *memory
    try:
        memory = mmap(NULL, size, PROT_READ, MAP_SHARED, file, 0)
    finally:
        os.close(file)
    if memory is MAP_FAILED:
        raise MemoryError(f"{size} bytes of shared memory cannot be mapped")
    cdef slab_region sessions, peers
    cdef outbox outgoing
    cdef uint64_t stored, pieces
    cdef uint64_t now = unix_time()
    with nogil:
        lay_out(<unsigned char *> memory, size, &sessions, &peers, &outgoing)
        stored = slab_count(&sessions, now)
        pieces = slab_count(&peers, now)
        munmap(memory, size)
    return {
        "size": size,
        "period": identity.period,
        "sessions": stored,
        "room for sessions": sessions.sets * SLAB_WAYS,
        "pieces of client certificates": pieces,
        "room for pieces": peers.sets * SLAB_WAYS,
    }
