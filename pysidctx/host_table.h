/* A hash table from host patterns to what serves them: any thread reads it while one changes it.
 *
 * Entries never change.  A single change stores one pointer; a change of many builds another array
 * of slots and stores the pointer to that.  What was taken out is the caller's to free, once no
 * reader can be using it any more. */
#ifndef PYSIDCTX_HOST_TABLE_H
#define PYSIDCTX_HOST_TABLE_H

#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "readers.h"
#include "siphash.h"

typedef struct {
    void *context; /* NULL: the listener's own */
    uint64_t hash;
    unsigned char explicit_id; /* said by the user, not derived */
    unsigned char id_length;
    unsigned char name_length;
    unsigned char bytes[]; /* the id context, then the name */
} host_entry;

/* A pointer to an entry, with some bits of its hash where alignment leaves zeros: most slots of
 * other names are passed over without a look at their entry. */
typedef _Atomic(uintptr_t) host_slot;

#define SLOT_TAG ((uintptr_t)7)
#define SLOT_EMPTY ((uintptr_t)0)
#define SLOT_DELETED ((uintptr_t)1) /* searches go on past it */

typedef struct {
    size_t mask;  /* the number of slots, less one */
    size_t taken; /* slots that are not empty */
    size_t count; /* slots with an entry */
    host_slot slot[];
} host_slots;

enum { HOSTS_MATCHED, HOSTS_UNMATCHED, HOSTS_REJECTED, HOSTS_MALFORMED, HOSTS_COUNTERS };

typedef struct {
    shared_pointer slots;
    atomic_size_t changes;
    atomic_size_t references;
    atomic_int rejects_unmatched;
    atomic_int closed;
    uint64_t key[2];
    struct {
        _Alignas(CACHE_LINE) atomic_ullong counters[HOSTS_COUNTERS];
    } counts[THREAD_SLOTS];
} host_table;

static inline uintptr_t slot_of(const host_entry *entry)
{
    return (uintptr_t)entry | entry->hash >> 61;
}

static inline host_entry *entry_in(uintptr_t slot)
{
    return (host_entry *)(slot & ~SLOT_TAG);
}

static inline const unsigned char *entry_name(const host_entry *entry)
{
    return entry->bytes + entry->id_length;
}

/* `id_context` and `name` are copied; NULL where memory ran out. */
static inline host_entry *entry_new(const host_table *table, void *context, int explicit_id,
                                    const unsigned char *id_context, unsigned int id_length,
                                    const unsigned char *name, unsigned int name_length)
{
    host_entry *entry = malloc(sizeof(host_entry) + id_length + name_length);

    if (entry == NULL)
        return NULL;
    entry->context = context;
    entry->hash = siphash(table->key, name, name_length);
    entry->explicit_id = explicit_id != 0;
    entry->id_length = (unsigned char)id_length;
    entry->name_length = (unsigned char)name_length;
    memcpy(entry->bytes, id_context, id_length);
    memcpy(entry->bytes + id_length, name, name_length);
    return entry;
}

/* With room for `entries`, at most half of it taken. */
static inline host_slots *slots_new(size_t entries)
{
    size_t size = 16;
    host_slots *slots;

    while (size / 2 < entries)
        size *= 2;
    slots = calloc(1, sizeof(host_slots) + size * sizeof(host_slot));
    if (slots != NULL)
        slots->mask = size - 1;
    return slots;
}

/* The entry of this name, and in `*at` its slot; NULL where there is none. */
static inline host_entry *slots_find(host_slots *slots, uint64_t hash, const unsigned char *name,
                                     size_t length, size_t *at)
{
    uintptr_t found;
    host_entry *entry;

    for (*at = hash & slots->mask;; *at = (*at + 1) & slots->mask) {
        /* Not only "acquire": see gate_enter(). */
        found = atomic_load_explicit(&slots->slot[*at], memory_order_seq_cst);
        if (found == SLOT_EMPTY)
            return NULL;
        entry = entry_in(found);
        if ((found & SLOT_TAG) == hash >> 61 && entry != NULL && entry->hash == hash
            && entry->name_length == length && memcmp(entry_name(entry), name, length) == 0)
            return entry;
    }
}

static inline host_entry *slots_get(host_slots *slots, const uint64_t key[2],
                                    const unsigned char *name, size_t length)
{
    size_t at;

    return slots_find(slots, siphash(key, name, length), name, length, &at);
}

static inline void slots_store(host_slots *slots, size_t i, uintptr_t value)
{
    atomic_store_explicit(&slots->slot[i], value, memory_order_seq_cst);
}

/* Searches end at an empty slot, and are short while half of the slots are. */
static inline int slots_have_room(const host_slots *slots)
{
    return slots->taken < (slots->mask + 1) / 2;
}

/* Put an entry in, with room for it; returns the one of the same name that it replaces. */
static inline host_entry *slots_put(host_slots *slots, host_entry *entry)
{
    size_t i;
    uintptr_t found;
    host_entry *replaced = slots_find(slots, entry->hash, entry_name(entry), entry->name_length,
                                      &i);

    if (replaced == NULL) {
        for (i = entry->hash & slots->mask;; i = (i + 1) & slots->mask) {
            found = atomic_load_explicit(&slots->slot[i], memory_order_relaxed);
            if (found == SLOT_EMPTY || found == SLOT_DELETED)
                break;
        }
        slots->taken += found == SLOT_EMPTY;
        slots->count++;
    }
    slots_store(slots, i, slot_of(entry));
    return replaced;
}

/* Take the entry of a name out, and return it; NULL where there is none. */
static inline host_entry *slots_delete(host_slots *slots, const uint64_t key[2],
                                       const unsigned char *name, size_t length)
{
    size_t at;
    host_entry *found = slots_find(slots, siphash(key, name, length), name, length, &at);

    if (found != NULL) {
        slots_store(slots, at, SLOT_DELETED);
        slots->count--;
    }
    return found;
}

/* The entries of `slots`, one after the other: `*i` is 0 at first. */
static inline host_entry *slots_next(host_slots *slots, size_t *i)
{
    host_entry *entry;

    while (*i <= slots->mask) {
        entry = entry_in(atomic_load_explicit(&slots->slot[(*i)++], memory_order_relaxed));
        if (entry != NULL)
            return entry;
    }
    return NULL;
}

/* The same, and what it returns is no longer there. */
static inline host_entry *slots_take(host_slots *slots, size_t *i)
{
    host_entry *entry = slots_next(slots, i);

    if (entry != NULL)
        slots_store(slots, *i - 1, SLOT_EMPTY);
    else
        slots->count = slots->taken = 0;
    return entry;
}

/* A copy with room for `more`, without what was deleted. */
static inline host_slots *slots_copy(host_slots *slots, size_t more)
{
    host_slots *copy = slots_new(slots->count + more);
    host_entry *entry;
    size_t i = 0, at;

    if (copy == NULL)
        return NULL;
    while ((entry = slots_next(slots, &i)) != NULL) {
        for (at = entry->hash & copy->mask;; at = (at + 1) & copy->mask)
            if (atomic_load_explicit(&copy->slot[at], memory_order_relaxed) == SLOT_EMPTY)
                break;
        atomic_store_explicit(&copy->slot[at], slot_of(entry), memory_order_relaxed);
    }
    copy->taken = copy->count = slots->count;
    return copy;
}

static inline int flag_load(atomic_int *object)
{
    return atomic_load_explicit(object, memory_order_seq_cst); /* see gate_enter() */
}

static inline void flag_store(atomic_int *object, int value)
{
    atomic_store_explicit(object, value, memory_order_seq_cst);
}

static inline host_slots *table_slots(host_table *table)
{
    return shared_load(&table->slots);
}

static inline void table_changed(host_table *table)
{
    atomic_fetch_add_explicit(&table->changes, 1, memory_order_seq_cst);
}

/* `slots` is the table's from here on; returns the former ones. */
static inline host_slots *table_swap(host_table *table, host_slots *slots)
{
    host_slots *former = shared_exchange(&table->slots, slots);

    table_changed(table);
    return former;
}

static inline host_table *table_new(const uint64_t key[2])
{
    host_table *table = aligned_alloc(CACHE_LINE, sizeof(host_table));
    host_slots *slots = slots_new(0);

    if (table == NULL || slots == NULL) {
        free(table);
        free(slots);
        return NULL;
    }
    memset(table, 0, sizeof(host_table));
    atomic_store(&table->references, 1);
    atomic_store(&table->slots.value, slots);
    memcpy(table->key, key, sizeof(table->key));
    return table;
}

static inline host_table *table_hold(host_table *table)
{
    atomic_fetch_add(&table->references, 1);
    return table;
}

/* The last one frees it; its entries must be gone by then. */
static inline void table_release(host_table *table)
{
    if (atomic_fetch_sub(&table->references, 1) == 1) {
        free(table_slots(table));
        free(table);
    }
}

/* What serves a name, for readers: the exact name, else the wildcard for its first label; `name` is
 * in lower case and valid as a host name, and is written to meanwhile; `hash` is its hash. */
static inline const host_entry *table_match(host_table *table, uint64_t hash, unsigned char *name,
                                            size_t length)
{
    const host_entry *entry;
    host_slots *slots;
    unsigned char *dot, *wildcard, kept;
    size_t changes, rest, at;

    do {
        changes = atomic_load_explicit(&table->changes, memory_order_acquire);
        slots = table_slots(table);
        entry = slots_find(slots, hash, name, length, &at);
        dot = memchr(name, '.', length);
        if (entry != NULL || dot == NULL)
            return entry;
        wildcard = dot - 1;
        rest = length - (size_t)(wildcard - name);
        kept = *wildcard;
        *wildcard = '*';
        entry = slots_find(slots, siphash(table->key, wildcard, rest), wildcard, rest, &at);
        *wildcard = kept;
        /* The two looks must have seen one and the same map. */
    } while (atomic_load_explicit(&table->changes, memory_order_acquire) != changes);
    return entry;
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
