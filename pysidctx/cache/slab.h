/* Sealed entries in memory that processes share, found by name.  Any process reads and writes them without a lock.
 *
 * An entry may be torn: two processes wrote it at once, or its writer was stopped or killed half way.  Its seal then
 * does not open, and the reader treats it as missing, so there is nothing to lock and nothing to repair.
 *
 * Names are 32 random bytes, or a hash.  Three parts of a name select two sets of eight slots in which its entry may
 * be, and the slot's tag.  Set: eight tags, eight ends and lengths, eight bodies, so that a search reads one or two
 * cache lines. */
#ifndef PYSIDCTX_SLAB_H
#define PYSIDCTX_SLAB_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define SLAB_NAME_LENGTH 32
#define SLAB_WAYS 8
#define SLAB_NONCE_LENGTH 12
#define SLAB_TAG_LENGTH 16
#define SLAB_MOST_DATA 1024
#define SLAB_SEAL_LENGTH (sizeof(uint32_t) + SLAB_NONCE_LENGTH + SLAB_TAG_LENGTH)
#define SLAB_WORD sizeof(uint64_t)
/* No entry ends later than that from now, in seconds: where one says so, the clock was set back, or it is no entry. */
#define SLAB_LONGEST (16 * 86400)
#define SLAB_LENGTH_BITS 16 /* of the word that holds an entry's end and length */

/* A copy of an entry, in the memory of a process.  Its seal and data lie one behind the other, as in the slab. */
typedef struct {
    uint64_t end;    /* a Unix time, in seconds */
    uint64_t length; /* bytes of `data` */
    uint32_t period; /* of the key that has sealed it */
    unsigned char nonce[SLAB_NONCE_LENGTH];
    unsigned char tag[SLAB_TAG_LENGTH];
    unsigned char data[SLAB_MOST_DATA];
} slab_entry;

_Static_assert(offsetof(slab_entry, data) == offsetof(slab_entry, period) + SLAB_SEAL_LENGTH, "padding in slab_entry");

/* An entry outside of the slab: its end and length in one big-endian number, its seal, its data. */
#define SLAB_PACKED_HEAD (SLAB_WORD + SLAB_SEAL_LENGTH)
#define SLAB_MOST_PACKED (SLAB_PACKED_HEAD + SLAB_MOST_DATA)

/* A part of the memory whose entries have at most `most` bytes of data, a multiple of 8. */
typedef struct {
    unsigned char *memory;
    uint64_t sets; /* less than 2**32 */
    size_t most;
} slab_region;

enum { SLAB_ADDED, SLAB_REPLACED, SLAB_EVICTED };

static inline size_t slab_set_size(size_t most)
{
    return SLAB_WAYS * (2 * SLAB_WORD + SLAB_SEAL_LENGTH + most);
}

static inline uint64_t slab_part(const unsigned char *name, size_t offset)
{
    uint64_t part;

    memcpy(&part, name + offset, sizeof(part));
    return part;
}

/* Not 0, which marks a free slot. */
static inline uint64_t slab_mark(const unsigned char *name)
{
    return slab_part(name, 8) | 1;
}

static inline _Atomic uint64_t *slab_marks(const slab_region *region, const unsigned char *name, int second)
{
    uint64_t part = slab_part(name, second ? 16 : 0);
    uint64_t set = (part >> 32) * region->sets >> 32;

    return (_Atomic uint64_t *)(void *)(region->memory + set * slab_set_size(region->most));
}

static inline _Atomic uint64_t *slab_ends(_Atomic uint64_t *marks)
{
    return marks + SLAB_WAYS;
}

static inline _Atomic uint64_t *slab_body(const slab_region *region, _Atomic uint64_t *marks, int way)
{
    return marks + 2 * SLAB_WAYS + (size_t)way * ((SLAB_SEAL_LENGTH + region->most) / SLAB_WORD);
}

static inline uint64_t slab_load(const _Atomic uint64_t *word)
{
    return atomic_load_explicit(word, memory_order_relaxed);
}

static inline void slab_store(_Atomic uint64_t *word, uint64_t value)
{
    atomic_store_explicit(word, value, memory_order_relaxed);
}

static inline int slab_is_ended(uint64_t end, uint64_t now)
{
    return end <= now || end - now > SLAB_LONGEST;
}

static inline uint64_t slab_packed(const slab_entry *entry)
{
    return entry->end << SLAB_LENGTH_BITS | entry->length;
}

/* Writes an entry to `bytes`, at most SLAB_MOST_PACKED.  Returns how many it takes. */
static inline size_t slab_pack(const slab_entry *entry, unsigned char *bytes)
{
    uint64_t packed = slab_packed(entry);
    size_t i;

    for (i = 0; i < SLAB_WORD; i++)
        bytes[i] = (unsigned char)(packed >> (56 - 8 * i));
    memcpy(bytes + SLAB_WORD, (const unsigned char *)entry + offsetof(slab_entry, period),
           SLAB_SEAL_LENGTH + entry->length);
    return SLAB_PACKED_HEAD + entry->length;
}

/* Reads the entry with which `left` bytes begin.  Returns how many it takes; 0 if they are none.  Nothing of it is to be
 * believed before its seal was opened. */
static inline size_t slab_unpack(const unsigned char *bytes, size_t left, slab_entry *entry)
{
    uint64_t packed = 0;
    size_t i;

    if (left < SLAB_PACKED_HEAD)
        return 0;
    for (i = 0; i < SLAB_WORD; i++)
        packed = packed << 8 | bytes[i];
    entry->end = packed >> SLAB_LENGTH_BITS;
    entry->length = packed & ((1u << SLAB_LENGTH_BITS) - 1);
    if (entry->length > SLAB_MOST_DATA || left - SLAB_PACKED_HEAD < entry->length)
        return 0;
    memcpy((unsigned char *)entry + offsetof(slab_entry, period), bytes + SLAB_WORD,
           SLAB_SEAL_LENGTH + entry->length);
    return SLAB_PACKED_HEAD + entry->length;
}

static inline size_t slab_words(uint64_t length)
{
    return (SLAB_SEAL_LENGTH + length + SLAB_WORD - 1) / SLAB_WORD;
}

/* Fetches both sets of a name, which are far apart in memory, at once. */
static inline void slab_expect(const slab_region *region, const unsigned char *name)
{
    int second;

    for (second = 0; second < 2; second++) {
        _Atomic uint64_t *marks = slab_marks(region, name, second);

        __builtin_prefetch(marks);
        __builtin_prefetch(slab_ends(marks));
    }
}

/* Where a new entry goes: to its former place, else to a slot that is free or whose entry has ended, in the set that
 * has more of these, else to the place of the entry that ends first. */
typedef struct {
    _Atomic uint64_t *marks;
    int way;
    int outcome;
} slab_place;

static inline slab_place slab_choose(const slab_region *region, const unsigned char *name, uint64_t now)
{
    uint64_t mark = slab_mark(name), first_end = UINT64_MAX;
    slab_place vacant = {NULL, 0, SLAB_ADDED}, oldest = {NULL, 0, SLAB_EVICTED};
    int second, way, most = 0;

    slab_expect(region, name);
    for (second = 0; second < 2; second++) {
        _Atomic uint64_t *marks = slab_marks(region, name, second);
        int found = -1, count = 0;

        for (way = 0; way < SLAB_WAYS; way++) {
            uint64_t present = slab_load(&marks[way]);
            uint64_t end = slab_load(&slab_ends(marks)[way]) >> SLAB_LENGTH_BITS;

            if (present == mark)
                return (slab_place){marks, way, SLAB_REPLACED};
            if (present == 0 || slab_is_ended(end, now)) {
                found = way;
                count++;
            } else if (end < first_end) {
                first_end = end;
                oldest.marks = marks;
                oldest.way = way;
            }
        }
        if (count > most) {
            most = count;
            vacant.marks = marks;
            vacant.way = found;
        }
    }
    return most > 0 ? vacant : oldest;
}

/* `entry` is sealed, with a length of at most region->most.  Returns whether another one that had not ended was lost. */
static inline int slab_write(const slab_region *region, const unsigned char *name, const slab_entry *entry, uint64_t now)
{
    slab_place place = slab_choose(region, name, now);
    _Atomic uint64_t *body = slab_body(region, place.marks, place.way);
    const unsigned char *data = (const unsigned char *)entry + offsetof(slab_entry, period);
    size_t i;

    slab_store(&place.marks[place.way], 0);
    /* A reader that meets a word written below must also meet the mark 0. */
    atomic_thread_fence(memory_order_release);
    slab_store(&slab_ends(place.marks)[place.way], slab_packed(entry));
    for (i = 0; i < slab_words(entry->length); i++)
        slab_store(&body[i], slab_part(data, i * SLAB_WORD));
    atomic_store_explicit(&place.marks[place.way], slab_mark(name), memory_order_release);
    return place.outcome;
}

/* Copies the next entry that may have this name into `entry`.  `cursor` is 0 at first.  Returns 0 if there is no other.
 * Nothing of it is to be believed before its seal was opened. */
static inline int slab_read(const slab_region *region, const unsigned char *name, int *cursor, slab_entry *entry)
{
    uint64_t mark = slab_mark(name);

    if (*cursor == 0)
        slab_expect(region, name);
    while (*cursor < 2 * SLAB_WAYS) {
        int second = *cursor >= SLAB_WAYS, way = *cursor % SLAB_WAYS;
        _Atomic uint64_t *marks = slab_marks(region, name, second);
        unsigned char *copy = (unsigned char *)entry + offsetof(slab_entry, period);
        _Atomic uint64_t *body;
        uint64_t packed, word;
        size_t i;

        while (way < SLAB_WAYS && slab_load(&marks[way]) != mark)
            way++;
        if (way == SLAB_WAYS) {
            *cursor = (second + 1) * SLAB_WAYS;
            continue;
        }
        *cursor = second * SLAB_WAYS + way + 1;
        if (atomic_load_explicit(&marks[way], memory_order_acquire) != mark)
            continue;
        body = slab_body(region, marks, way);
        packed = slab_load(&slab_ends(marks)[way]);
        entry->end = packed >> SLAB_LENGTH_BITS;
        entry->length = packed & ((1u << SLAB_LENGTH_BITS) - 1);
        if (entry->length > region->most)
            continue;
        for (i = 0; i < slab_words(entry->length); i++) {
            word = slab_load(&body[i]);
            memcpy(copy + i * SLAB_WORD, &word, SLAB_WORD);
        }
        return 1;
    }
    return 0;
}

/* When the entry of this name ends, as it says itself: a Unix time in seconds; 0 if there is none. */
static inline uint64_t slab_end_of(const slab_region *region, const unsigned char *name)
{
    uint64_t mark = slab_mark(name);
    int second, way;

    for (second = 0; second < 2; second++) {
        _Atomic uint64_t *marks = slab_marks(region, name, second);

        for (way = 0; way < SLAB_WAYS; way++)
            if (slab_load(&marks[way]) == mark)
                return slab_load(&slab_ends(marks)[way]) >> SLAB_LENGTH_BITS;
    }
    return 0;
}

/* How many entries there are that have not ended. */
static inline uint64_t slab_count(const slab_region *region, uint64_t now)
{
    uint64_t set, count = 0;
    int way;

    for (set = 0; set < region->sets; set++) {
        _Atomic uint64_t *marks = (_Atomic uint64_t *)(void *)(region->memory + set * slab_set_size(region->most));

        for (way = 0; way < SLAB_WAYS; way++)
            count += slab_load(&marks[way]) != 0
                && !slab_is_ended(slab_load(&slab_ends(marks)[way]) >> SLAB_LENGTH_BITS, now);
    }
    return count;
}

#endif
