# distutils: libraries = ssl crypto
# cython: cdivision=True
"""The slab, the seals and the store, for tests: pointers of OpenSSL's are numbers here, and so is the time."""

from libc.stdint cimport uint64_t, uintptr_t
from libc.string cimport memcpy, memset

import os

from pysidctx.cache.forgotten cimport first_list, forget_name
from pysidctx.cache.seal cimport SealKeys, free_seal_keys, new_seal_keys, open_entry, seal_entry
from pysidctx.cache.slab cimport (
    SLAB_MOST_DATA, SLAB_NAME_LENGTH, SLAB_NONCE_LENGTH, slab_count, slab_end_of, slab_entry,
    slab_read, slab_region, slab_set_size, slab_write,
)
from pysidctx.cache.store cimport (
    COUNTERS, Cache, Counter, counted, end_session, find_session, new_cache, new_store_keys, release_cache,
    store_session,
)
from pysidctx.libssl cimport SSL, SSL_SESSION
from pysidctx.tickets.times cimport Times

from pysidctx.cache.stats import CacheStats

cdef extern from "sys/mman.h" nogil:
    enum:
        PROT_READ
        PROT_WRITE
        MAP_SHARED
        MAP_ANONYMOUS
    void *mmap(void *addr, size_t length, int prot, int flags, int fd, long offset)
    int munmap(void *addr, size_t length)

most_data = SLAB_MOST_DATA


cdef class Keys:
    cdef SealKeys *keys

    def __cinit__(self, bytes secret=bytes(32), uint64_t period=3600, uint64_t lifetime=86400):
        self.keys = new_seal_keys(secret, len(secret), period, lifetime)

    def __dealloc__(self):
        free_seal_keys(self.keys)


cdef bytes named(object name):
    assert len(name) == SLAB_NAME_LENGTH
    return bytes(name)


cdef class Region:
    """A part of a slab, in memory that is shared with the processes that are forked."""

    cdef slab_region region
    cdef size_t size

    def __cinit__(self, uint64_t sets, size_t most=272):
        self.size = sets * slab_set_size(most)
        self.region.memory = <unsigned char *> mmap(
            NULL, self.size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)
        self.region.sets = sets
        self.region.most = most

    def __dealloc__(self):
        munmap(self.region.memory, self.size)

    @property
    def memory(self):
        return <unsigned char[:self.size]> self.region.memory

    def write(self, Keys keys, bytes name, bytes data, uint64_t end, uint64_t now):
        """Seal and write an entry: 0 if it was added, 1 replaced, 2 in the place of another one."""
        cdef slab_entry entry
        memset(&entry, 0xEE, sizeof(entry))
        entry.end = end
        entry.length = len(data)
        memcpy(entry.data, <const unsigned char *> data, len(data))
        name = named(name)
        assert len(data) <= self.region.most and seal_entry(keys.keys, name, &entry, now)
        return slab_write(&self.region, name, &entry, now)

    def write_often(self, Keys keys, list names, uint64_t seed, uint64_t rounds, uint64_t end, uint64_t now):
        """Write entries, and read others, without the GIL: how many were read that are not as they should be, and torn.

        The data of each is its name, eight times.
        """
        cdef slab_entry entry
        cdef unsigned char *all
        cdef const unsigned char *name
        cdef bytes joined = b"".join(names)
        cdef uint64_t _, j, count = len(names), wrong = 0, torn = 0, found = 0
        cdef int cursor
        all = joined
        with nogil:
            for _ in range(rounds):
                seed = seed * 6364136223846793005ULL + 1442695040888963407ULL
                name = all + ((seed >> 33) % count) * SLAB_NAME_LENGTH
                if seed >> 32 & 1:
                    entry.end = end
                    entry.length = 8 * SLAB_NAME_LENGTH
                    for j in range(8):
                        memcpy(entry.data + j * SLAB_NAME_LENGTH, name, SLAB_NAME_LENGTH)
                    if seal_entry(keys.keys, name, &entry, now):
                        slab_write(&self.region, name, &entry, now)
                    continue
                cursor = 0
                while slab_read(&self.region, name, &cursor, &entry):
                    if not open_entry(keys.keys, name, &entry, now):
                        torn += 1
                        continue
                    found += 1
                    wrong += entry.end != end or entry.length != 8 * SLAB_NAME_LENGTH
                    for j in range(8):
                        wrong += entry.data[j * SLAB_NAME_LENGTH] != name[0]
        return found, wrong, torn

    def read(self, Keys keys, bytes name, uint64_t now):
        """The entries of a name: for each its end, and its data or None if it cannot be opened."""
        cdef slab_entry entry
        cdef int cursor = 0
        found = []
        name = named(name)
        while slab_read(&self.region, name, &cursor, &entry):
            found.append((entry.end, entry.data[:entry.length]
                          if open_entry(keys.keys, name, &entry, now) else None))
        return list(dict.fromkeys(found))  # a name's two sets may be the same

    def nonces(self, bytes name):
        cdef slab_entry entry
        cdef int cursor = 0
        found = []
        while slab_read(&self.region, named(name), &cursor, &entry):
            found.append(entry.nonce[:SLAB_NONCE_LENGTH])
        return found

    def end_of(self, bytes name):
        return slab_end_of(&self.region, named(name))

    def count(self, uint64_t now):
        return slab_count(&self.region, now)


cdef class Store:
    """A Cache in anonymous memory, or in that of a descriptor that begins with such memory."""

    cdef Cache *cache
    cdef readonly int file

    def __cinit__(self, bytes secret=bytes(32), file=None, uint64_t period=3600, uint64_t lifetime=86400,
                  size_t size=1 << 20, size_t peers=64):
        cdef SealKeys *keys = new_store_keys(secret, len(secret), period, lifetime)
        if file is None:
            file = os.memfd_create("store")
            os.posix_fallocate(file, 0, size)
            os.pwrite(file, first_list(keys), 4096)
        self.file = file
        self.cache = new_cache(keys, file, size, lifetime, peers, None)

    def __dealloc__(self):
        if self.cache is not NULL:
            release_cache(self.cache)

    @property
    def memory(self):
        return <unsigned char[:self.cache.size]> self.cache.memory

    @property
    def peers(self):
        """Where the peers' pieces begin and end."""
        cdef size_t begin = self.cache.peers.memory - self.cache.memory
        return begin, begin + self.cache.peers.sets * slab_set_size(self.cache.peers.most)

    def store(self, uintptr_t session, uint64_t full, uint64_t until, uint64_t now):
        cdef unsigned char key[32]
        cdef Times times
        times.full, times.until = full, until
        return store_session(self.cache, <SSL_SESSION *> session, &times, now, key, False)

    def find(self, uintptr_t ssl, bytes id, uint64_t now):
        """The session, which the caller frees; None if there is none."""
        cdef unsigned char key[32]
        cdef SSL_SESSION *session = find_session(self.cache, <SSL *> ssl, named(id), now, key)
        return None if session is NULL else <uintptr_t> session

    def end(self, bytes id, uint64_t end, uint64_t now):
        end_session(self.cache, named(id), end, now)

    def forget_all(self, uint64_t now):
        assert forget_name(&self.cache.forgotten, self.file, NULL, now) == 0

    def stats(self):
        cdef int counter
        return CacheStats(*[counted(self.cache, <Counter> counter) for counter in range(COUNTERS)], 0, 0, 0, 0)
