/* A ring of entries that a machine's publisher sends to the other machines.  Any process adds to it without waiting;
 * one reads.  What nobody has read in time is overwritten. */
#ifndef PYSIDCTX_OUTBOX_H
#define PYSIDCTX_OUTBOX_H

#include <stdatomic.h>
#include <stdint.h>
#include <string.h>

#include "cache/slab.h"

#define OUTBOX_PEERS 4096
#define OUTBOX_AGAIN 10 /* minutes after which a peer is sent again, if it comes back */

enum { OUTBOX_SESSION = 1, OUTBOX_PEER = 2 };
enum { OUTBOX_TAKEN, OUTBOX_EMPTY, OUTBOX_UNFINISHED, OUTBOX_OVERTAKEN };

typedef struct {
    uint64_t kind;
    unsigned char name[SLAB_NAME_LENGTH];
    slab_entry entry;
} outbox_item;

_Static_assert(sizeof(outbox_item) % SLAB_WORD == 0, "an outbox_item is copied word by word");

typedef struct {
    _Atomic uint64_t turn; /* which item of all this is, plus 1; 0: it is being written */
    _Atomic uint64_t words[sizeof(outbox_item) / SLAB_WORD];
} outbox_slot;

/* Its numbers are for everybody to see; the publisher and the subscriber write them. */
typedef struct {
    _Atomic uint64_t head;      /* items that were added */
    _Atomic uint64_t active;    /* until when items are wanted: a Unix time, in seconds */
    _Atomic uint64_t announced; /* the generation of what was forgotten that was sent, plus 1 */
    _Atomic uint64_t published; /* entries */
    _Atomic uint64_t received;
    _Atomic uint64_t dropped;
    _Atomic uint64_t lag; /* milliseconds */
    _Atomic uint64_t losses; /* how often something was not sent, or may not have been */
    /* Peers that were sent a short while ago, one in each place: whoever has lost them needs them again. */
    _Atomic uint64_t sent[OUTBOX_PEERS];
} outbox_numbers;

typedef struct {
    outbox_numbers *numbers;
    outbox_slot *slots;
    uint64_t count;
} outbox;

static inline uint64_t outbox_load(const _Atomic uint64_t *number)
{
    return atomic_load_explicit(number, memory_order_acquire);
}

static inline void outbox_set(_Atomic uint64_t *number, uint64_t value)
{
    atomic_store_explicit(number, value, memory_order_release);
}

#define OUTBOX_RENEWED 60            /* seconds: at most so far ahead is `active` set */
#define OUTBOX_LONGEST (7 * 24 * 3600) /* seconds: no session lives longer */

/* Anything may be in the shared memory, so a time that makes no sense counts as none. */
static inline int outbox_is_active(const outbox *box, uint64_t now)
{
    return outbox_load(&box->numbers->active) - now <= OUTBOX_RENEWED;
}

/* Whether there may be sessions of other machines. */
static inline int outbox_was_active(const outbox *box, uint64_t now)
{
    return outbox_is_active(box, now) || now - outbox_load(&box->numbers->active) <= OUTBOX_LONGEST;
}

static inline void outbox_count(_Atomic uint64_t *number, uint64_t more)
{
    atomic_fetch_add_explicit(number, more, memory_order_relaxed);
}

/* Only the words that an entry's data takes are copied. */
static inline size_t outbox_words(const slab_entry *entry)
{
    return (offsetof(outbox_item, entry) + offsetof(slab_entry, data) + entry->length + SLAB_WORD - 1) / SLAB_WORD;
}

static inline void outbox_add(outbox *box, int kind, const unsigned char *name, const slab_entry *entry)
{
    uint64_t turn = atomic_fetch_add_explicit(&box->numbers->head, 1, memory_order_relaxed);
    outbox_slot *slot = &box->slots[turn % box->count];
    size_t i, head = offsetof(outbox_item, entry) / SLAB_WORD;

    atomic_store_explicit(&slot->turn, 0, memory_order_relaxed);
    /* A reader that meets a word written below must also meet the turn 0. */
    atomic_thread_fence(memory_order_release);
    slab_store(&slot->words[0], (uint64_t)kind);
    for (i = 1; i < head; i++)
        slab_store(&slot->words[i], slab_part(name, (i - 1) * SLAB_WORD));
    for (; i < outbox_words(entry); i++)
        slab_store(&slot->words[i], slab_part((const unsigned char *)entry, (i - head) * SLAB_WORD));
    atomic_store_explicit(&slot->turn, turn + 1, memory_order_release);
}

/* What stands in a peer's place when it is sent now: its tag, then the losses until now, then the minute. */
static inline uint64_t outbox_sign(const outbox *box, const unsigned char *name, uint64_t now)
{
    return slab_part(name, 8) << 24 | (outbox_load(&box->numbers->losses) & 0xff) << 16 | (now / 60 & 0xffff);
}

static inline _Atomic uint64_t *outbox_place(const outbox *box, const unsigned char *name)
{
    return &box->numbers->sent[slab_part(name, 0) % OUTBOX_PEERS];
}

static inline int outbox_was_sent(const outbox *box, const unsigned char *name, uint64_t now)
{
    uint64_t sign = outbox_sign(box, name, now), found = slab_load(outbox_place(box, name));

    return found >> 16 == sign >> 16 && ((sign - found) & 0xffff) < OUTBOX_AGAIN;
}

static inline void outbox_mark_sent(const outbox *box, const unsigned char *name, uint64_t now)
{
    slab_store(outbox_place(box, name), outbox_sign(box, name, now));
}

static inline int outbox_take(const outbox *box, uint64_t turn, outbox_item *item)
{
    outbox_slot *slot = &box->slots[turn % box->count];
    uint64_t head = outbox_load(&box->numbers->head), found = outbox_load(&slot->turn);
    size_t i;

    if (turn >= head)
        return OUTBOX_EMPTY;
    if (head - turn > box->count || found > turn + 1)
        return OUTBOX_OVERTAKEN;
    if (found != turn + 1)
        return OUTBOX_UNFINISHED;
    for (i = 0; i < sizeof(outbox_item) / SLAB_WORD; i++) {
        uint64_t word = slab_load(&slot->words[i]);

        memcpy((unsigned char *)item + i * SLAB_WORD, &word, SLAB_WORD);
    }
    atomic_thread_fence(memory_order_acquire);
    return atomic_load_explicit(&slot->turn, memory_order_relaxed) == turn + 1 ? OUTBOX_TAKEN : OUTBOX_OVERTAKEN;
}

#endif
