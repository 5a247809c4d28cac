"""What stored sessions take, in loops without Python: CPU seconds of this thread for each call."""

from cpython.object cimport PyObject
from libc.stdint cimport uint64_t
from libc.string cimport memcpy, memset

from posix.mman cimport MAP_ANONYMOUS, MAP_FAILED, MAP_SHARED, PROT_READ, PROT_WRITE, mmap, munmap
from posix.unistd cimport pwrite

from pysidctx.cache.forgotten cimport first_list
from pysidctx.cache.record cimport MOST_RECORD, Record, apply_record, read_record, write_record
from pysidctx.cache.seal cimport SealKeys, free_seal_keys, new_seal_keys, open_entry, seal_entry
from pysidctx.cache.slab cimport (
    SLAB_NAME_LENGTH, SLAB_WAYS, slab_entry, slab_read, slab_region, slab_set_size, slab_write,
)
from pysidctx.cache.store cimport Cache, find_session, new_cache, release_cache, store_session
from pysidctx.cache.templates cimport (
    TEMPLATE_KEY_LENGTH, Templates, add_template, describe_peer, drop_templates, duplicate_template, free_templates,
    new_templates,
)
from pysidctx.libssl cimport (
    OPENSSL_free, SSL, SSL_SESSION, SSL_SESSION_dup, SSL_SESSION_free, SSL_SESSION_set1_id, d2i_SSL_SESSION,
    i2d_SSL_SESSION, SSL_get_session,
)
from pysidctx.tickets.times cimport Times

cimport pysidctx

cdef extern from "timing.h" nogil:
    double cpu_seconds()

cdef enum:
    # Seconds. One period for all, whatever the time is said to be.
    PERIOD = 1 << 31
    HEADER_LENGTH = 4096  # bytes: see memory.py
    ID_LENGTH = 32


cdef void name_of(uint64_t number, unsigned char *name) noexcept nogil:
    """32 bytes that look random (splitmix64)."""
    cdef uint64_t word
    cdef int i
    for i in range(SLAB_NAME_LENGTH // 8):
        word = (4 * number + i + 1) * <uint64_t> 0x9e3779b97f4a7c15
        word = (word ^ (word >> 30)) * <uint64_t> 0xbf58476d1ce4e5b9
        word = (word ^ (word >> 27)) * <uint64_t> 0x94d049bb133111eb
        word ^= word >> 31
        memcpy(name + 8 * i, &word, 8)


cdef class Slab:
    """Sealed entries, half as many as there is room for. As each is added, the oldest one ends."""

    cdef readonly size_t entries
    cdef readonly uint64_t added
    cdef size_t length  # bytes of data
    cdef size_t size
    cdef slab_region region
    cdef SealKeys *keys

    def __cinit__(self, size_t entries, size_t length):
        self.entries, self.length = entries, length
        self.region.most = MOST_RECORD
        self.region.sets = 2 * entries // SLAB_WAYS
        self.size = self.region.sets * slab_set_size(MOST_RECORD)
        memory = mmap(NULL, self.size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)
        if memory == MAP_FAILED:
            raise MemoryError
        self.region.memory = <unsigned char *> memory
        self.keys = new_seal_keys(b"k" * 32, 32, PERIOD, PERIOD)
        self.put(entries, True)

    def __dealloc__(self):
        if self.region.memory is not NULL:
            munmap(self.region.memory, self.size)
        if self.keys is not NULL:
            free_seal_keys(self.keys)

    def put(self, size_t loops, bint sealed):
        """Entries with new names; where they are not sealed, their data is only copied."""
        cdef slab_entry entry
        cdef unsigned char name[SLAB_NAME_LENGTH]
        cdef uint64_t now
        cdef size_t _, failed = 0
        cdef double start
        memset(&entry, 0, sizeof(entry))
        start = cpu_seconds()
        with nogil:
            for _ in range(loops):
                # Those that were added before the latest `entries` have ended by then.
                now = self.added - self.entries if self.added > self.entries else 0
                name_of(self.added, name)
                entry.end = self.added + 1
                entry.length = self.length
                if sealed and not seal_entry(self.keys, name, &entry, now):
                    failed += 1
                slab_write(&self.region, name, &entry, now)
                self.added += 1
        if failed:
            raise AssertionError("an entry cannot be sealed")
        return (cpu_seconds() - start) / loops

    def get(self, size_t loops, bint opened, uint64_t seed):
        """Entries whose names are drawn from those that were put with their seal, of late."""
        cdef slab_entry entry
        cdef unsigned char name[SLAB_NAME_LENGTH]
        cdef size_t _, found = 0
        cdef int cursor
        cdef uint64_t drawn = seed
        cdef double start = cpu_seconds()
        with nogil:
            for _ in range(loops):
                drawn = drawn * <uint64_t> 6364136223846793005 + <uint64_t> 1442695040888963407
                name_of(self.added - 1 - (drawn >> 32) * self.entries // (<uint64_t> 1 << 32), name)
                cursor = 0
                while slab_read(&self.region, name, &cursor, &entry):
                    if not opened or open_entry(self.keys, name, &entry, self.added):
                        found += 1
                        break
        return (cpu_seconds() - start) / loops, found / loops

    def reach(self, size_t loops, uint64_t seed):
        """Read a word of a random set, then one of an entry in it, and only then the next: what no search saves."""
        cdef unsigned char name[SLAB_NAME_LENGTH]
        cdef size_t _
        cdef uint64_t drawn = seed, word = 0
        cdef size_t set_size = slab_set_size(MOST_RECORD)
        cdef const unsigned char *at
        cdef double start = cpu_seconds()
        with nogil:
            for _ in range(loops):
                drawn = drawn * <uint64_t> 6364136223846793005 + (word | 1)
                name_of(drawn, name)
                memcpy(&word, name, sizeof(word))
                at = self.region.memory + ((word >> 32) * self.region.sets >> 32) * set_size
                memcpy(&word, at, sizeof(word))
                # The first word decides where the second one is.
                memcpy(&word, at + set_size // SLAB_WAYS * (word % SLAB_WAYS), sizeof(word))
        taken = cpu_seconds() - start
        return taken / loops, word

    def seal(self, size_t loops, bint opened):
        """Seal one entry over and over, outside the slab, or open it."""
        cdef slab_entry entry, copy
        cdef unsigned char name[SLAB_NAME_LENGTH]
        cdef size_t _, failed = 0
        cdef double start
        memset(&entry, 0, sizeof(entry))
        name_of(0, name)
        entry.end = 1
        entry.length = self.length
        failed += not seal_entry(self.keys, name, &entry, 0)
        start = cpu_seconds()
        with nogil:
            for _ in range(loops):
                if opened:
                    copy = entry
                    failed += not open_entry(self.keys, name, &copy, 0)
                else:
                    failed += not seal_entry(self.keys, name, &entry, 0)
        if failed:
            raise AssertionError("an entry cannot be sealed, or opened")
        return (cpu_seconds() - start) / loops


cdef class Stored:
    """The session of a server's connection, in a cache of its own, and its template."""

    cdef object connection  # which owns the session
    cdef SSL *ssl
    cdef SSL_SESSION *session
    cdef Cache *cache
    cdef Templates *templates
    cdef unsigned char key[TEMPLATE_KEY_LENGTH]
    cdef unsigned char *template
    cdef size_t template_length
    cdef unsigned char *encoded
    cdef int encoded_length
    cdef unsigned char record[MOST_RECORD]
    cdef size_t record_length
    cdef uint64_t now
    cdef uint64_t stored
    cdef Times times

    def __cinit__(self, connection, int file, size_t size, uint64_t now):
        """`file` is memory of `size` bytes, which are zeros."""
        cdef SealKeys *keys = new_seal_keys(b"k" * 32, 32, 3600, 86400)
        cdef bytes nothing = first_list(keys)
        cdef PyObject *owner = NULL
        self.now = now
        self.times.full, self.times.until = now, now + 86400
        self.connection = connection
        self.ssl = pysidctx.SSL_from(connection, &owner)
        self.session = SSL_SESSION_dup(SSL_get_session(self.ssl))
        if pwrite(file, <const char *> nothing, len(nothing), HEADER_LENGTH) != len(nothing):
            raise OSError("the memory cannot be written")
        self.cache = new_cache(keys, file, size, 86400, 4096)
        self.templates = new_templates(4096)
        if not describe_peer(self.session, self.key, &self.template, &self.template_length):
            raise AssertionError("the session has no template")
        self.encoded_length = i2d_SSL_SESSION(self.session, &self.encoded)
        self.record_length = write_record(self.session, self.key, &self.times, now + 3600, self.record)

    def __dealloc__(self):
        SSL_SESSION_free(self.session)
        OPENSSL_free(self.template)
        OPENSSL_free(self.encoded)
        free_templates(self.templates)
        if self.cache is not NULL:
            release_cache(self.cache)

    @property
    def lengths(self):
        """Bytes of the session, of its template, and of its record."""
        return self.encoded_length, self.template_length, self.record_length

    def store(self, size_t loops, bint known):
        """store_session(), each time under another id; `known`: as the session of a connection that was resumed."""
        cdef unsigned char id[ID_LENGTH]
        cdef size_t _, failed = 0
        cdef double start = cpu_seconds()
        with nogil:
            for _ in range(loops):
                name_of(self.stored, id)
                SSL_SESSION_set1_id(self.session, id, ID_LENGTH)
                failed += not store_session(self.cache, self.session, &self.times, self.now, self.key, known)
                self.stored += 1
        if failed:
            raise AssertionError("a session was not stored")
        return (cpu_seconds() - start) / loops

    def find(self, size_t loops, uint64_t seed):
        """find_session(), of those that were stored, and freeing what it returns."""
        cdef unsigned char id[ID_LENGTH]
        cdef unsigned char key[TEMPLATE_KEY_LENGTH]
        cdef SSL_SESSION *found
        cdef size_t _, failed = 0
        cdef uint64_t drawn = seed
        cdef double start = cpu_seconds()
        with nogil:
            for _ in range(loops):
                drawn = drawn * <uint64_t> 6364136223846793005 + <uint64_t> 1442695040888963407
                name_of((drawn >> 32) * self.stored // (<uint64_t> 1 << 32), id)
                found = find_session(self.cache, self.ssl, id, self.now, key)
                failed += found is NULL
                SSL_SESSION_free(found)
        if failed:
            raise AssertionError("a session was not found")
        return (cpu_seconds() - start) / loops

    def decode_session(self, size_t loops):
        """d2i_SSL_SESSION() of the whole session, as a cache without templates has to call it."""
        cdef SSL_SESSION *found
        cdef const unsigned char *at
        cdef size_t _
        cdef double start = cpu_seconds()
        with nogil:
            for _ in range(loops):
                at = self.encoded
                found = d2i_SSL_SESSION(NULL, &at, self.encoded_length)
                SSL_SESSION_free(found)
        return (cpu_seconds() - start) / loops

    def decode_template(self, size_t loops):
        """add_template(), into an empty table."""
        cdef size_t _, failed = 0
        cdef double taken = 0, start
        with nogil:
            for _ in range(loops):
                drop_templates(self.templates)
                start = cpu_seconds()
                failed += not add_template(self.templates, self.key, self.template, self.template_length)
                taken += cpu_seconds() - start
        if failed:
            raise AssertionError("the template was not added")
        return taken / loops

    def describe(self, size_t loops):
        """describe_peer(): what a full handshake calls."""
        cdef unsigned char key[TEMPLATE_KEY_LENGTH]
        cdef unsigned char *der = NULL
        cdef size_t length = 0, failed = 0, _
        cdef double start = cpu_seconds()
        with nogil:
            for _ in range(loops):
                failed += not describe_peer(self.session, key, &der, &length)
                OPENSSL_free(der)
        if failed:
            raise AssertionError("the session has no template")
        return (cpu_seconds() - start) / loops

    def duplicate(self, size_t loops, bint apply):
        """duplicate_template(), and apply_record(), which make a session; and freeing it."""
        cdef Record record
        cdef unsigned char peer[32]
        cdef unsigned char id[ID_LENGTH]
        cdef SSL_SESSION *found
        cdef size_t _, failed = 0
        cdef double start
        name_of(0, id)
        add_template(self.templates, self.key, self.template, self.template_length)
        start = cpu_seconds()
        with nogil:
            for _ in range(loops):
                found = duplicate_template(self.templates, self.key, peer)
                failed += found is NULL
                if apply and found is not NULL:
                    failed += not (read_record(self.record, self.record_length, &record)
                                   and apply_record(self.ssl, found, id, &record))
                SSL_SESSION_free(found)
        if failed:
            raise AssertionError("the template was not applied")
        return (cpu_seconds() - start) / loops
