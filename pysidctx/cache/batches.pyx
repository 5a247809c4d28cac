"""What machines tell each other of their caches: batches of sealed entries, and of what was forgotten."""

from cpython.bytes cimport PyBytes_AS_STRING
from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

from pysidctx.binding cimport bind_openssl
from pysidctx.cache.forgotten cimport (
    FORGOTTEN_MOST, FORGOTTEN_NAME_LENGTH, forget_listed, forgotten_entry, forgotten_list, read_forgotten,
)
from pysidctx.cache.outbox cimport (
    OUTBOX_OVERTAKEN, OUTBOX_PEER, OUTBOX_SESSION, OUTBOX_TAKEN, OUTBOX_UNFINISHED, outbox_count,
    outbox_item, outbox_load, outbox_take,
)
from pysidctx.cache.seal cimport NO_PERIOD, open_data, open_entry, seal_data
from pysidctx.cache.slab cimport (
    SLAB_MOST_DATA, SLAB_MOST_PACKED, SLAB_NAME_LENGTH, SLAB_NONCE_LENGTH, SLAB_TAG_LENGTH, slab_entry, slab_pack,
    slab_unpack,
)
from pysidctx.cache.store cimport Cache, end_of_named, place_entry
from pysidctx.libssl cimport ERR_clear_error, OPENSSL_cleanse
from pysidctx.tickets.expiry cimport unix_time
from pysidctx.tickets.times cimport read_number, write_number

bind_openssl()

cdef enum:
    FORMAT = 1          # the first byte of a batch
    FORGOTTEN_KIND = 3  # beside those of outbox.h
    # An entry in a batch: its kind and its name; then the entry as slab_pack() writes it.
    HEAD_LENGTH = 1 + SLAB_NAME_LENGTH
    LIST_ENTRY_LENGTH = FORGOTTEN_NAME_LENGTH + 8

# Begins a list of what was forgotten, before its entries.
cdef struct ListHead:
    unsigned char kind
    unsigned char count[8]
    unsigned char nonce[SLAB_NONCE_LENGTH]
    unsigned char tag[SLAB_TAG_LENGTH]

# Lists that are sent have this name, which is not that of a list in the memory.
cdef unsigned char list_name[SLAB_NAME_LENGTH]
memset(list_name, 0xfe, SLAB_NAME_LENGTH)


cdef object batch_from(Cache *cache, uint64_t *turn, size_t most, bint skip_unfinished):
    """Take at most `most` entries from the outbox, from `turn` on, which is moved. Return their number and a batch.

    The batch is b"" if there are none. Raises MemoryError.
    """
    cdef outbox_item *item = <outbox_item *> malloc(sizeof(outbox_item))
    cdef unsigned char data[HEAD_LENGTH + SLAB_MOST_PACKED]
    cdef size_t length
    cdef uint64_t ahead
    cdef int found
    if item is NULL:
        raise MemoryError("out of memory while sending sessions to other machines")
    parts = []
    try:
        while <size_t> len(parts) < most:
            with nogil:
                found = outbox_take(&cache.outgoing, turn[0], item)
            if found == OUTBOX_OVERTAKEN:
                # Continue in the middle of what is there, so as not to be overtaken again at once.
                ahead = outbox_load(&cache.outgoing.numbers.head) - cache.outgoing.count // 2
                ahead = max(ahead, turn[0] + 1)
                outbox_count(&cache.outgoing.numbers.dropped, ahead - turn[0])
                outbox_count(&cache.outgoing.numbers.losses, 1)
                turn[0] = ahead
            elif found == OUTBOX_TAKEN:
                turn[0] += 1
                if item.entry.length > SLAB_MOST_DATA:
                    outbox_count(&cache.outgoing.numbers.dropped, 1)
                    continue
                data[0] = <unsigned char> item.kind
                memcpy(data + 1, item.name, SLAB_NAME_LENGTH)
                length = HEAD_LENGTH + slab_pack(&item.entry, data + HEAD_LENGTH)
                parts.append(data[:length])
            elif found == OUTBOX_UNFINISHED and skip_unfinished:
                outbox_count(&cache.outgoing.numbers.dropped, 1)  # whoever wrote it was killed
                turn[0] += 1
                skip_unfinished = False
            else:
                break
    finally:
        free(item)
    return len(parts), bytes([FORMAT]) + b"".join(parts) if parts else b""


cdef object batch_of_forgotten(Cache *cache, uint64_t *generation):
    """Return all that is forgotten, sealed, and of which generation it is. Raises MemoryError if memory runs out."""
    cdef forgotten_list *read
    cdef ListHead head
    cdef bytearray data
    cdef unsigned char *place
    cdef uint64_t i
    with nogil:
        read = read_forgotten(&cache.forgotten, unix_time())
    if read is NULL:
        raise MemoryError("out of memory while telling other machines what was forgotten")
    try:
        generation[0] = read.generation
        data = bytearray(read.count * LIST_ENTRY_LENGTH)
        place = data
        for i in range(read.count):
            memcpy(place, read.entries[i].name, FORGOTTEN_NAME_LENGTH)
            write_number(place + FORGOTTEN_NAME_LENGTH, read.entries[i].since)
            place += LIST_ENTRY_LENGTH
        place = data
        head.kind = FORGOTTEN_KIND
        write_number(head.count, read.count)
        if not seal_data(cache.keys, <uint32_t> NO_PERIOD, list_name, read.count, head.nonce, head.tag, place,
                         len(data)):
            ERR_clear_error()
            raise MemoryError("OpenSSL could not seal what was forgotten")
    finally:
        free(read)
    return bytes([FORMAT]) + (<unsigned char *> &head)[:sizeof(head)] + bytes(data)


cdef bint apply_batch(Cache *cache, int file, bytes batch, bint forgotten_alone) noexcept:
    """Store what another machine has sent. Returns whether all of it was understood; what follows is left out.

    An entry that is here already never gets a later end, so nothing that has ended comes back.
    """
    cdef const unsigned char *place = <const unsigned char *> PyBytes_AS_STRING(batch)
    cdef size_t left = len(batch)
    cdef size_t taken
    with nogil:
        if left == 0 or place[0] != FORMAT:
            return False
        place += 1
        left -= 1
        while left:
            if place[0] == FORGOTTEN_KIND:
                taken = apply_list(cache, file, place, left)
            else:
                taken = apply_entry(cache, place, left, forgotten_alone)
            if taken == 0:
                return False
            place += taken
            left -= taken
    return True


cdef size_t apply_entry(Cache *cache, const unsigned char *place, size_t left, bint only_skip) noexcept nogil:
    """Return how many bytes the entry takes; 0 if it is malformed."""
    cdef slab_entry entry, opened
    cdef const unsigned char *name = place + 1
    cdef size_t taken
    cdef uint64_t now
    if left < HEAD_LENGTH or place[0] not in (OUTBOX_SESSION, OUTBOX_PEER):
        return 0
    taken = slab_unpack(place + HEAD_LENGTH, left - HEAD_LENGTH, &entry)
    if taken == 0:
        return 0
    if only_skip:
        return HEAD_LENGTH + taken
    now = unix_time()
    if is_new(cache, place[0], name, &entry, now):
        memcpy(&opened, &entry, sizeof(entry))
        if open_entry(cache.keys, name, &opened, now):
            place_entry(cache, place[0], name, &entry, now)
            outbox_count(&cache.outgoing.numbers.received, 1)
        else:
            outbox_count(&cache.outgoing.numbers.dropped, 1)
            ERR_clear_error()
        OPENSSL_cleanse(&opened, sizeof(opened))
    return HEAD_LENGTH + taken


cdef bint is_new(Cache *cache, int kind, const unsigned char *name, const slab_entry *entry,
                 uint64_t now) noexcept nogil:
    cdef uint64_t end
    if entry.end <= now:
        return False
    if kind == OUTBOX_PEER:
        return end_of_named(cache, OUTBOX_PEER, name) < entry.end
    if entry.length > cache.sessions.most:
        return False
    end = end_of_named(cache, OUTBOX_SESSION, name)
    return end == 0 or entry.end < end


cdef size_t apply_list(Cache *cache, int file, const unsigned char *place, size_t left) noexcept nogil:
    """Like apply_entry(), for a list of what was forgotten."""
    cdef uint64_t count, i
    cdef size_t length
    cdef unsigned char *data
    cdef forgotten_entry *entries
    cdef ListHead head
    if left < sizeof(head):
        return 0
    memcpy(&head, place, sizeof(head))
    count = read_number(head.count)
    if count > FORGOTTEN_MOST or left < sizeof(head) + count * LIST_ENTRY_LENGTH:
        return 0
    length = count * LIST_ENTRY_LENGTH
    data = <unsigned char *> malloc(length + 1)
    entries = <forgotten_entry *> malloc((count + 1) * sizeof(forgotten_entry))
    if data is not NULL and entries is not NULL:
        memcpy(data, place + sizeof(head), length)
        if open_data(cache.keys, <uint32_t> NO_PERIOD, list_name, count, head.nonce, head.tag, data, length):
            for i in range(count):
                memcpy(entries[i].name, data + i * LIST_ENTRY_LENGTH, FORGOTTEN_NAME_LENGTH)
                entries[i].since = read_number(data + i * LIST_ENTRY_LENGTH + FORGOTTEN_NAME_LENGTH)
            if forget_listed(&cache.forgotten, file, entries, count, unix_time()) != 0:
                outbox_count(&cache.outgoing.numbers.dropped, 1)
                ERR_clear_error()
        else:
            outbox_count(&cache.outgoing.numbers.dropped, 1)
            ERR_clear_error()
    free(data)
    free(entries)
    return sizeof(head) + length
