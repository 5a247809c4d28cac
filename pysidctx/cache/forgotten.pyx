"""What was forgotten of a cache's sessions: those of a peer, of an id context, or all, made until a moment.

The list lies in the shared memory. A process reads it again when its generation has changed, so that a look-up usually
costs one load. The list is sealed: where it cannot be read, all sessions made until then count as forgotten.
"""

from libc.errno cimport ENOMEM, EPROTO
from libc.stdint cimport UINT64_MAX, uint32_t, uint64_t
from libc.stdlib cimport bsearch, free, malloc, qsort
from libc.string cimport memcmp, memcpy, memset

from pysidctx.binding cimport bind_openssl
from pysidctx.cache.seal cimport NO_PERIOD, SealKeys, open_data, seal_data
from pysidctx.cache.slab cimport SLAB_NAME_LENGTH
from pysidctx.errors cimport check
from pysidctx.id_contexts.derivation cimport sha256_md
from pysidctx.libssl cimport EVP_Digest, SSL_MAX_SID_CTX_LENGTH
from pysidctx.lockfree.readers cimport (
    atomic_size_t, free_retired, gate_enter, gate_init, gate_leave, reader_gate, retire, retired_node, shared_exchange,
    shared_load, shared_pointer,
)

bind_openssl()

cdef extern from "pthread.h" nogil:
    int pthread_atfork(void (*prepare)() noexcept nogil, void (*parent)() noexcept nogil,
                       void (*child)() noexcept nogil)

cdef enum:
    LOCK_TIMEOUT = 5              # seconds
    MOST_TRIES = 100
    LONGEST_LIFETIME = 7 * 86400  # seconds: no session made before then can be resumed

# The list as one process has read it. It does not change.
cdef struct KnownList:
    retired_node node
    uint64_t generation
    uint64_t all_since           # all sessions made until then are forgotten; 0: none for that reason alone
    forgotten_list list          # in the order of names

# Counts the look-ups in progress.
cdef reader_gate gate
# KnownLists that were replaced, and are freed when no look-up can use them any more.
cdef shared_pointer retired
# Keeps others from writing a list.
cdef forgotten_writer writer
writer.file = -1

# The name under which all sessions are forgotten.
cdef unsigned char everything[FORGOTTEN_NAME_LENGTH]

# Sealed lists have this name and end, which are not a session's.
cdef unsigned char list_name[SLAB_NAME_LENGTH]
memset(everything, 0, FORGOTTEN_NAME_LENGTH)
memset(list_name, 0xff, SLAB_NAME_LENGTH)


cdef bytes first_list(SealKeys *keys):
    """Return the contents of a new forgotten_memory, in which nothing was forgotten. Raises MemoryError, Error."""
    cdef forgotten_copy *copy = <forgotten_copy *> malloc(sizeof(forgotten_copy))
    if copy is NULL:
        raise MemoryError("out of memory while making a cache")
    try:
        memset(copy, 0, sizeof(forgotten_copy))
        check(seal_list(keys, copy), b"EVP_EncryptUpdate()")
        return bytes(16) + (<unsigned char *> copy)[:sizeof(forgotten_copy)]
    finally:
        free(copy)


cdef bint seal_list(SealKeys *keys, forgotten_copy *copy) noexcept nogil:
    return seal_data(keys, <uint32_t> NO_PERIOD, list_name, copy.list.generation, copy.nonce, copy.tag,
                     <unsigned char *> &copy.list, sizeof(forgotten_list))


cdef bint open_list(SealKeys *keys, uint64_t generation, forgotten_copy *copy) noexcept nogil:
    return (open_data(keys, <uint32_t> NO_PERIOD, list_name, generation, copy.nonce, copy.tag,
                      <unsigned char *> &copy.list, sizeof(forgotten_list))
            and copy.list.generation == generation and copy.list.count <= FORGOTTEN_MOST)


cdef bint is_forgotten(Forgotten *forgotten, const unsigned char *peer, const unsigned char *sid_ctx,
                       unsigned int sid_ctx_length, uint64_t full, uint64_t now) noexcept nogil:
    """Whether a session whose full handshake was at the Unix time `full` was forgotten since.

    `peer` begins with the name under which its peer is forgotten.
    """
    cdef atomic_size_t *inside = gate_enter(&gate)
    cdef KnownList *known = <KnownList *> shared_load(&forgotten.known)
    cdef bint found = True
    if known is NULL or known.generation != forgotten_generation(forgotten.memory):
        known = read_again(forgotten, known, now)
    if known is not NULL:
        found = full <= known.all_since or (
            known.list.count > 0 and is_listed(known, peer, sid_ctx, sid_ctx_length, full))
    gate_leave(inside)
    free_retired(&retired, &gate, free)
    return found


cdef bint is_readable(Forgotten *forgotten, uint64_t now) noexcept nogil:
    """Read the list, if memory suffices. Returns False if its seal does not open, so that all is forgotten."""
    cdef atomic_size_t *inside = gate_enter(&gate)
    cdef KnownList *known = read_again(forgotten, <KnownList *> shared_load(&forgotten.known), now)
    cdef bint readable = known is NULL or not known.all_since
    gate_leave(inside)
    free_retired(&retired, &gate, free)
    return readable


cdef bint is_listed(KnownList *known, const unsigned char *peer, const unsigned char *sid_ctx,
                    unsigned int sid_ctx_length, uint64_t full) noexcept nogil:
    cdef unsigned char id_context[FORGOTTEN_NAME_LENGTH]
    return (not name_id_context(sid_ctx, sid_ctx_length, id_context)
            or has_name(known, everything, full) or has_name(known, peer, full) or has_name(known, id_context, full))


cdef bint has_name(KnownList *known, const unsigned char *name, uint64_t full) noexcept nogil:
    cdef forgotten_entry *found = <forgotten_entry *> bsearch(
        name, known.list.entries, known.list.count, sizeof(forgotten_entry), by_name)
    return found is not NULL and full <= found.since


cdef int by_name(const void *one, const void *other) noexcept nogil:
    return memcmp(one, other, FORGOTTEN_NAME_LENGTH)  # a forgotten_entry begins with its name


cdef bint is_later(uint64_t generation, uint64_t than) noexcept nogil:
    """Compare generations as RFC 1982 does, because after the memory was overwritten the next one may be 0."""
    return 0 < generation - than < <uint64_t> 1 << 63


cdef KnownList *read_again(Forgotten *forgotten, KnownList *former, uint64_t now) noexcept nogil:
    """Read the list of the present generation. Returns NULL if memory runs out. Only inside the gate."""
    cdef uint64_t generation = forgotten_generation(forgotten.memory)
    cdef KnownList *known = read_list(forgotten, generation)
    cdef int _
    # Other processes may have written twice meanwhile, and so have torn this copy.
    for _ in range(MOST_TRIES):
        if known is NULL or not known.all_since or forgotten_generation(forgotten.memory) == generation:
            break
        free(known)
        generation = forgotten_generation(forgotten.memory)
        known = read_list(forgotten, generation)
    if known is NULL:
        return NULL
    if known.all_since or (former is not NULL and is_later(former.generation, generation)):
        known.all_since = forgotten_moment(forgotten.memory, now)
    if former is not NULL:
        # What was noticed once stays, until the next list is written.
        known.all_since = max(known.all_since, former.all_since)
    former = <KnownList *> shared_exchange(&forgotten.known, known)
    if former is not NULL:
        retire(&retired, &former.node)
    return known


cdef KnownList *read_list(Forgotten *forgotten, uint64_t generation) noexcept nogil:
    """Return a list, whose `all_since` is not 0 if it cannot be read; NULL if memory runs out."""
    cdef forgotten_copy *copy = <forgotten_copy *> malloc(sizeof(forgotten_copy))
    cdef KnownList *known = <KnownList *> malloc(sizeof(KnownList))
    if copy is NULL or known is NULL:
        free(copy)
        free(known)
        return NULL
    forgotten_read(forgotten.memory, generation, copy)
    known.generation = generation
    known.all_since = 0
    if open_list(forgotten.keys, generation, copy):
        memcpy(&known.list, &copy.list, sizeof(forgotten_list))
    else:
        known.list.count = 0
        known.all_since = UINT64_MAX
    free(copy)
    return known


cdef int forget_name(Forgotten *forgotten, int file, const unsigned char *name, uint64_t now) noexcept nogil:
    """Forget what has this name, made until now; NULL: everything. Effective in all processes when it returns 0.

    Otherwise it returns ETIMEDOUT if other processes have held the lock for too long, EPROTO if OpenSSL fails, whose
    queue then says why, ENOMEM, or why the file cannot be locked.
    """
    cdef forgotten_entry entry
    if name is NULL:
        memset(entry.name, 0, FORGOTTEN_NAME_LENGTH)  # everything
    else:
        memcpy(entry.name, name, FORGOTTEN_NAME_LENGTH)
    entry.since = forgotten_moment(forgotten.memory, now)
    return forget_listed(forgotten, file, &entry, 1, now)


cdef int forget_listed(Forgotten *forgotten, int file, const forgotten_entry *entries, size_t length,
                       uint64_t now) noexcept nogil:
    """Forget what has these names, made until the moments that they have. Returns what forget_name() returns."""
    cdef int failure = forgotten_lock(&writer, file, LOCK_TIMEOUT)
    if failure == 0:
        failure = write_list(forgotten, entries, length, now)
        forgotten_unlock(&writer)
    return failure


cdef int write_list(Forgotten *forgotten, const forgotten_entry *entries, size_t length,
                    uint64_t now) noexcept nogil:
    cdef forgotten_copy *copy = <forgotten_copy *> malloc(sizeof(forgotten_copy))
    cdef uint64_t generation = forgotten_generation(forgotten.memory)
    cdef uint64_t former = generation
    cdef uint64_t since = forgotten_moment(forgotten.memory, now)
    cdef KnownList *known
    cdef atomic_size_t *inside
    cdef bint changed = False
    cdef bint written
    cdef size_t i
    if copy is NULL:
        return ENOMEM
    forgotten_read(forgotten.memory, generation, copy)
    if not open_list(forgotten.keys, generation, copy):
        # Nobody knows what was in it, so all is forgotten. A generation that nobody has seen.
        memset(&copy.list, 0, sizeof(forgotten_list))
        changed = list_entry(&copy.list, everything, since)
    inside = gate_enter(&gate)
    known = <KnownList *> shared_load(&forgotten.known)
    if known is not NULL and known.all_since:
        changed = list_entry(&copy.list, everything, known.all_since) or changed
    if known is not NULL and is_later(known.generation, former):
        former = known.generation
    gate_leave(inside)
    drop_ended(&copy.list, now)
    for i in range(length):
        changed = list_entry(&copy.list, entries[i].name, entries[i].since) or changed
    if not changed:
        free(copy)
        return 0
    qsort(copy.list.entries, copy.list.count, sizeof(forgotten_entry), by_name)
    # The copy that readers do not use now.
    generation = former + 1 if (former ^ generation) & 1 == 0 else former + 2
    copy.list.generation = generation
    written = seal_list(forgotten.keys, copy)
    if written:
        forgotten_write(forgotten.memory, generation, copy)
    free(copy)
    return 0 if written else EPROTO


cdef bint list_entry(forgotten_list *entries, const unsigned char *name, uint64_t since) noexcept nogil:
    """Add an entry, or make a present one later. A full list becomes one that forgets everything.

    Returns whether that changes the list.
    """
    cdef uint64_t i
    for i in range(entries.count):
        if memcmp(entries.entries[i].name, name, FORGOTTEN_NAME_LENGTH) == 0:
            if entries.entries[i].since >= since:
                return False
            entries.entries[i].since = since
            return True
    if entries.count == FORGOTTEN_MOST:
        for i in range(entries.count):
            since = max(since, entries.entries[i].since)
        entries.count = 0
        name = everything
    memcpy(entries.entries[entries.count].name, name, FORGOTTEN_NAME_LENGTH)
    entries.entries[entries.count].since = since
    entries.count += 1
    return True


cdef forgotten_list *read_forgotten(Forgotten *forgotten, uint64_t now) noexcept nogil:
    """Return a copy of the list, which the caller frees; NULL if memory runs out.

    A list that cannot be read is replaced by one in which everything until now is forgotten.
    """
    cdef forgotten_list *copied = <forgotten_list *> malloc(sizeof(forgotten_list))
    cdef uint64_t generation = forgotten_generation(forgotten.memory)
    cdef KnownList *known = read_list(forgotten, generation)
    if copied is not NULL and known is not NULL:
        memcpy(copied, &known.list, sizeof(forgotten_list))
        copied.generation = generation
        if known.all_since:
            list_entry(copied, everything, now)
    elif copied is not NULL:
        free(copied)
        copied = NULL
    free(known)
    return copied


cdef void drop_ended(forgotten_list *entries, uint64_t now) noexcept nogil:
    """Drop what no session can be refused for any more."""
    cdef uint64_t i = 0
    while i < entries.count:
        if entries.entries[i].since + LONGEST_LIFETIME < now:
            entries.count -= 1
            memcpy(&entries.entries[i], &entries.entries[entries.count], sizeof(forgotten_entry))
        else:
            i += 1


cdef bint name_id_context(const unsigned char *sid_ctx, size_t length, unsigned char *name) noexcept nogil:
    """Write the name under which an id context of `length` bytes, at most 32, is forgotten."""
    cdef unsigned char labelled[12 + SSL_MAX_SID_CTX_LENGTH]
    cdef unsigned char digest[32]
    memcpy(labelled, b"id context: ", 12)
    memcpy(labelled + 12, sid_ctx, length)
    if EVP_Digest(labelled, 12 + length, digest, NULL, sha256_md, NULL) <= 0:
        return False
    memcpy(name, digest, FORGOTTEN_NAME_LENGTH)
    return True


cdef void release_known(Forgotten *forgotten) noexcept nogil:
    """Free what this process has read, when no thread looks up any more."""
    free(shared_exchange(&forgotten.known, NULL))


cdef void renew_locks() noexcept nogil:
    """Initialize the locks, at import and again in a forked child, which lacks the threads that held them."""
    gate_init(&gate)
    forgotten_init(&writer)


renew_locks()
check(pthread_atfork(NULL, NULL, renew_locks) == 0, b"pthread_atfork()")
