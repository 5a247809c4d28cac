/* Counters to which all processes of a server add, in memory that they share.
 *
 * A thread adds to one of several slots, so that processes and threads do not take each other's cache lines away, and
 * what was counted is the sum over all slots.  A slot has no owner: several may have the same one, because they add
 * atomically.  So nothing is to be done when a process ends, however it ends, and there is no lock. */
#ifndef PYSIDCTX_COUNTS_H
#define PYSIDCTX_COUNTS_H

#include <stdatomic.h>
#include <stdint.h>
#include <sys/mman.h>

#include "lockfree/readers.h"

/* The order within tickets, sessions and hosts is that of their own counters. */
enum {
    COUNT_HANDSHAKES,
    COUNT_RESUMED_BY_TICKET,
    COUNT_RESUMED_STORED,
    COUNT_TICKETS,
    COUNT_SESSIONS = COUNT_TICKETS + 6,
    COUNT_HOSTS = COUNT_SESSIONS + 10,
    COUNT_CONTEXTS = COUNT_HOSTS + 4,
    COUNTS = COUNT_CONTEXTS + 3
};

#define COUNT_SLOTS 64

typedef struct {
    _Alignas(CACHE_LINE) _Atomic uint64_t counters[COUNTS];
} count_slot;

/* What follows the header of a file, or is the whole of anonymous memory. */
typedef struct {
    _Alignas(CACHE_LINE) atomic_uint processes; /* how many have chosen a first slot */
    /* What a sender of differences, such as to StatsD, has sent. */
    count_slot sent;
    count_slot slots[COUNT_SLOTS];
} count_memory;

typedef struct {
    _Atomic(count_memory *) memory; /* NULL until it is shared */
    atomic_uint first;              /* the slot of this process's first thread; the others have the next ones */
    count_slot own;                 /* where it counts before it is shared */
} process_counts;

static inline void counts_add(process_counts *counts, unsigned int counter)
{
    count_memory *memory = atomic_load_explicit(&counts->memory, memory_order_acquire);
    unsigned int first = atomic_load_explicit(&counts->first, memory_order_relaxed);
    count_slot *slot = memory == NULL ? &counts->own : &memory->slots[(first + thread_slot()) % COUNT_SLOTS];

    atomic_fetch_add_explicit(&slot->counters[counter], 1, memory_order_relaxed);
}

/* Chooses the first slot; in a forked child, another one than the parent's. */
static inline void counts_choose_slot(process_counts *counts)
{
    count_memory *memory = atomic_load(&counts->memory);

    if (memory != NULL)
        atomic_store(&counts->first, atomic_fetch_add(&memory->processes, 1));
}

/* Moves to the shared memory what this process has counted before it had that; also what a thread adds there that
 * began to count meanwhile. */
static inline void counts_move_own(process_counts *counts)
{
    count_memory *memory = atomic_load(&counts->memory);
    unsigned int i;

    if (memory == NULL)
        return;
    for (i = 0; i < COUNTS; i++)
        atomic_fetch_add_explicit(&memory->slots[0].counters[i], atomic_exchange(&counts->own.counters[i], 0),
                                  memory_order_relaxed);
}

/* The former memory stays mapped: a handshake may be about to count in it. */
static inline void counts_share(process_counts *counts, void *memory)
{
    atomic_store(&counts->memory, (count_memory *)memory);
    counts_choose_slot(counts);
    counts_move_own(counts);
}

/* In a forked child: the parent moves what it has counted itself. */
static inline void counts_forked(process_counts *counts)
{
    unsigned int i;

    for (i = 0; i < COUNTS; i++)
        atomic_store_explicit(&counts->own.counters[i], 0, memory_order_relaxed);
    counts_choose_slot(counts);
}

static inline uint64_t counts_sum(void *memory, unsigned int counter)
{
    count_memory *counted = memory;
    uint64_t sum = 0;
    unsigned int i;

    for (i = 0; i < COUNT_SLOTS; i++)
        sum += atomic_load_explicit(&counted->slots[i].counters[counter], memory_order_relaxed);
    return sum;
}

static inline uint64_t counts_total(process_counts *counts, unsigned int counter)
{
    count_memory *memory = atomic_load(&counts->memory);

    if (memory == NULL)
        return atomic_load_explicit(&counts->own.counters[counter], memory_order_relaxed);
    return counts_sum(memory, counter);
}

/* How much was counted since any process has asked this; each count is told to one process only. */
static inline uint64_t counts_take_new(process_counts *counts, unsigned int counter)
{
    count_memory *memory = atomic_load(&counts->memory);
    uint64_t sent, total;

    if (memory == NULL)
        return 0;
    sent = atomic_load(&memory->sent.counters[counter]);
    do {
        total = counts_sum(memory, counter);
        if (total <= sent)
            return 0;
    } while (!atomic_compare_exchange_weak(&memory->sent.counters[counter], &sent, total));
    return total - sent;
}

#endif
