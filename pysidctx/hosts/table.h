/* A hash table of host patterns.  Any thread can read it while one thread changes it.
 *
 * A lookup reads one cache line: an entry is stored in the table itself, and 104 bits of a keyed hash
 * of its name identify it.  Entries never change: to replace one, a new entry of the same name is
 * added before the old one is removed.  To change many, the writer builds a new array of slots and
 * stores a pointer to it.  The slot of a removed entry may be reused, and its memory freed, only when
 * no reader can be using it any more.  The caller has to wait for that. */
#ifndef PYSIDCTX_HOST_TABLE_H
#define PYSIDCTX_HOST_TABLE_H

#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "lockfree/id_context_slot.h"
#include "lockfree/readers.h"
#include "handshake/siphash.h"


typedef struct {
    unsigned char length;
    unsigned char text[];
} host_name;

/* 64 bytes, with 64-bit pointers. */
typedef struct {
    /* The kind of slot, the length of the id context, and 40 bits of the hash. */
    _Atomic uint64_t state;
    uint64_t hash;
    host_name *name;
    void *context; /* NULL: the listener's own */
    unsigned char id_context[SSL_MAX_SID_CTX_LENGTH];
} host_entry;

#define STATE_EMPTY UINT64_C(0)
#define STATE_DELETED UINT64_C(1) /* searches go on past it */
#define STATE_ENTRY UINT64_C(2)
#define STATE_EXPLICIT UINT64_C(4) /* the user has chosen the id context; it is not derived */
#define STATE_WILDCARD UINT64_C(8)
#define STATE_LENGTH_SHIFT 8
#define STATE_HASH UINT64_C(0xffffffffff000000)

typedef struct {
    size_t size;
    size_t taken; /* slots that are not empty */
    size_t count; /* slots with an entry */
    void *memory;
    host_entry *slot;
} host_slots;

enum { HOSTS_MATCHED, HOSTS_UNMATCHED, HOSTS_REJECTED, HOSTS_MALFORMED, HOSTS_COUNTERS };

typedef struct {
    shared_pointer slots;
    atomic_size_t changes;
    atomic_size_t references;
    atomic_int rejects_unmatched;
    atomic_int closed;
    siphash_key key;
    struct {
        _Alignas(CACHE_LINE) atomic_ullong counters[HOSTS_COUNTERS];
    } counts[THREAD_SLOTS];
} host_table;

static inline uint64_t entry_state(const host_entry *entry)
{
    /* Not only "acquire": see gate_enter(). */
    return atomic_load_explicit(&((host_entry *)entry)->state, memory_order_seq_cst);
}

/* Decode a state.  Readers must use the state that the search returned, because the entry may have been removed. */
static inline unsigned int state_id_length(uint64_t state)
{
    return state >> STATE_LENGTH_SHIFT & 0xff;
}

static inline int state_is_explicit(uint64_t state)
{
    return (state & STATE_EXPLICIT) != 0;
}

static inline int state_is_wildcard(uint64_t state)
{
    return (state & STATE_WILDCARD) != 0;
}

/* Fill in an entry that is in no table yet.  Returns 0 if there is no memory for its name. */
static inline int entry_init(host_entry *entry, const siphash_key *key, void *context,
                             int explicit_id, const unsigned char *id_context,
                             unsigned int id_length, const unsigned char *name,
                             unsigned int name_length)
{
    siphash_value hash = siphash(key, name, name_length);

    entry->name = malloc(sizeof(host_name) + name_length);
    if (entry->name == NULL)
        return 0;
    entry->name->length = (unsigned char)name_length;
    memcpy(entry->name->text, name, name_length);
    entry->hash = hash.words[0];
    entry->context = context;
    memcpy(entry->id_context, id_context, id_length);
    atomic_init(&entry->state, STATE_ENTRY | (explicit_id ? STATE_EXPLICIT : 0)
                                   | (name[0] == '*' ? STATE_WILDCARD : 0)
                                   | (uint64_t)id_length << STATE_LENGTH_SHIFT
                                   | (hash.words[1] & STATE_HASH));
    return 1;
}

/* Allocate slots for `entries`, which fill at most two thirds of them. */
static inline host_slots *slots_new(size_t entries)
{
    host_slots *slots = malloc(sizeof(host_slots));
    size_t bytes;

    if (slots == NULL)
        return NULL;
    slots->size = entries + entries / 2 + 16;
    slots->taken = slots->count = 0;
    bytes = slots->size * sizeof(host_entry);
    slots->memory = calloc(1, bytes + CACHE_LINE);
    if (slots->memory == NULL) {
        free(slots);
        return NULL;
    }
    slots->slot = (host_entry *)(((uintptr_t)slots->memory + CACHE_LINE - 1)
                                 & ~(uintptr_t)(CACHE_LINE - 1));
#ifdef MADV_HUGEPAGE
    /* Lookups access random pages, so larger pages cause fewer TLB misses.  This is only advice and may fail. */
    if (bytes >= (size_t)4 << 20)
        madvise((void *)(((uintptr_t)slots->slot + 4095) & ~(uintptr_t)4095), bytes - 4096,
                MADV_HUGEPAGE);
#endif
    return slots;
}

static inline void slots_free(host_slots *slots)
{
    if (slots != NULL)
        free(slots->memory);
    free(slots);
}

static inline size_t slots_begin(const host_slots *slots, uint64_t hash)
{
    return (size_t)((hash >> 32) * (uint64_t)slots->size >> 32);
}

static inline size_t slots_after(const host_slots *slots, size_t at)
{
    return at + 1 == slots->size ? 0 : at + 1;
}

/* Return the entry with this hash, and the state with which it was found; NULL if there is none. */
static inline host_entry *slots_find(const host_slots *slots, const siphash_value *hash,
                                     uint64_t *state)
{
    const uint64_t wanted = STATE_ENTRY | (hash->words[1] & STATE_HASH);
    size_t at;

    for (at = slots_begin(slots, hash->words[0]);; at = slots_after(slots, at)) {
        *state = entry_state(&slots->slot[at]);
        if (*state == STATE_EMPTY)
            return NULL;
        if ((*state & (STATE_HASH | STATE_ENTRY)) == wanted
            && slots->slot[at].hash == hash->words[0])
            return &slots->slot[at];
    }
}

static inline void slots_store(host_entry *slot, uint64_t state)
{
    atomic_store_explicit(&slot->state, state, memory_order_seq_cst);
}

/* Searches end at an empty slot. */
static inline int slots_have_room(const host_slots *slots)
{
    return slots->taken < slots->size - slots->size / 4;
}

/* A reader whose search began before this and ends after it must search again. */
static inline void table_changed(host_table *table)
{
    atomic_fetch_add_explicit(&table->changes, 1, memory_order_seq_cst);
}

static inline siphash_value entry_hash(const host_entry *entry)
{
    siphash_value hash;

    hash.words[0] = entry->hash;
    hash.words[1] = entry_state(entry);
    return hash;
}

/* Insert a copy of `entry`; there must be a free slot.  Returns whether it replaced an entry of the same
 * name, which is then copied to `*replaced`.  `table` is NULL for slots that are not in use yet. */
static inline int slots_put(host_table *table, host_slots *slots, const host_entry *entry,
                            host_entry *replaced)
{
    const siphash_value hash = entry_hash(entry);
    uint64_t state;
    host_entry *former = slots_find(slots, &hash, &state), *slot;
    size_t at = slots_begin(slots, entry->hash);

    while (entry_state(&slots->slot[at]) & STATE_ENTRY)
        at = slots_after(slots, at);
    slot = &slots->slot[at];
    slots->taken += entry_state(slot) == STATE_EMPTY;
    slot->hash = entry->hash;
    slot->name = entry->name;
    slot->context = entry->context;
    memcpy(slot->id_context, entry->id_context, SSL_MAX_SID_CTX_LENGTH);
    slots_store(slot, entry_state(entry));
    /* Before the old entry is removed: a reader that had passed the new entry's slot, and then misses the
     * old entry, must see that there was a change. */
    if (table != NULL)
        table_changed(table);
    if (former == NULL) {
        slots->count++;
        return 0;
    }
    *replaced = *former;
    slots_store(former, STATE_DELETED);
    return 1;
}

/* Remove an entry, and copy it to `*taken`. */
static inline void slots_delete(host_table *table, host_slots *slots, host_entry *entry,
                                host_entry *taken)
{
    *taken = *entry;
    slots_store(entry, STATE_DELETED);
    table_changed(table);
    slots->count--;
}

/* Iterate over the entries of `slots`: set `*at` to 0 before the first call. */
static inline host_entry *slots_next(const host_slots *slots, size_t *at)
{
    while (*at < slots->size) {
        host_entry *entry = &slots->slot[(*at)++];

        if (entry_state(entry) & STATE_ENTRY)
            return entry;
    }
    return NULL;
}

/* Copy `slots` without deleted entries, with space for `more` entries. */
static inline host_slots *slots_copy(const host_slots *slots, size_t more)
{
    host_slots *copy = slots_new(slots->count + more);
    const host_entry *entry;
    host_entry never;
    size_t at = 0;

    if (copy != NULL)
        while ((entry = slots_next(slots, &at)) != NULL)
            slots_put(NULL, copy, entry, &never);
    return copy;
}

static inline host_slots *table_slots(host_table *table)
{
    return shared_load(&table->slots);
}

/* Make `slots` the slots of the table, which then owns them.  Returns the former slots. */
static inline host_slots *table_swap(host_table *table, host_slots *slots)
{
    host_slots *former = shared_exchange(&table->slots, slots);

    table_changed(table);
    return former;
}

static inline host_table *table_new(const siphash_key *key)
{
    host_table *table = aligned_alloc(CACHE_LINE, sizeof(host_table));
    host_slots *slots = slots_new(0);

    if (table == NULL || slots == NULL) {
        free(table);
        slots_free(slots);
        return NULL;
    }
    memset(table, 0, sizeof(host_table));
    atomic_store(&table->references, 1);
    atomic_store(&table->slots.value, slots);
    table->key = *key;
    return table;
}

static inline host_table *table_hold(host_table *table)
{
    atomic_fetch_add(&table->references, 1);
    return table;
}

/* Drop a reference.  The last one frees the table, which must have no entries by then. */
static inline void table_release(host_table *table)
{
    if (atomic_fetch_sub(&table->references, 1) == 1) {
        slots_free(table_slots(table));
        free(table);
    }
}

/* Prefetch the cache lines that a lookup of this hash usually reads. */
static inline void table_prefetch(host_table *table, const siphash_value *hash)
{
    const host_slots *slots = table_slots(table);
    size_t at = slots_begin(slots, hash->words[0]);

    __builtin_prefetch(&slots->slot[at]);
    __builtin_prefetch(&slots->slot[slots_after(slots, at)]);
}

/* Look up the entry for a name, for readers: the exact name, otherwise the wildcard for its first label.
 * `name` is a valid host name in lower case, and is modified during the call; `hash` is its hash. */
static inline const host_entry *table_match(host_table *table, const siphash_value *hash,
                                            unsigned char *name, size_t length, uint64_t *state)
{
    const host_entry *entry;
    const host_slots *slots;
    unsigned char *dot, *wildcard, kept;
    siphash_value rest;
    size_t changes;

    do {
        changes = atomic_load_explicit(&table->changes, memory_order_seq_cst);
        slots = table_slots(table);
        entry = slots_find(slots, hash, state);
        if (entry != NULL)
            return entry;
        dot = memchr(name, '.', length);
        if (dot != NULL) {
            wildcard = dot - 1;
            kept = *wildcard;
            *wildcard = '*';
            rest = siphash(&table->key, wildcard, length - (size_t)(wildcard - name));
            *wildcard = kept;
            entry = slots_find(slots, &rest, state);
        }
        /* Both names must have been missing from the same version of the map. */
    } while (atomic_load_explicit(&table->changes, memory_order_seq_cst) != changes);
    return entry;
}

/* The same for callers that do not need the hash. */
static inline const host_entry *table_match_name(host_table *table, unsigned char *name,
                                                 size_t length, uint64_t *state)
{
    siphash_value hash = siphash(&table->key, name, length);

    return table_match(table, &hash, name, length, state);
}

/* The entry of a pattern, for writers. */
static inline host_entry *table_find(host_table *table, const unsigned char *pattern, size_t length)
{
    siphash_value hash = siphash(&table->key, pattern, length);
    uint64_t state;

    return slots_find(table_slots(table), &hash, &state);
}

static inline void table_count(host_table *table, unsigned int counter)
{
    atomic_fetch_add_explicit(&table->counts[thread_slot()].counters[counter], 1,
                              memory_order_relaxed);
}

static inline unsigned long long table_counted(host_table *table, unsigned int counter)
{
    unsigned long long sum = 0;
    unsigned int i;

    for (i = 0; i < THREAD_SLOTS; i++)
        sum += atomic_load_explicit(&table->counts[i].counters[counter], memory_order_relaxed);
    return sum;
}

#endif
