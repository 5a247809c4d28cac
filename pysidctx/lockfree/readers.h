/* Pointers that any thread reads without waiting, and a gate that tells a writer when no reader uses an old one.
 *
 * A reader enters a gate, loads pointers, uses what they point to, and leaves.  A writer stores
 * another pointer, waits at the gate for those who were inside, and may then free the old one. */
#ifndef PYSIDCTX_READERS_H
#define PYSIDCTX_READERS_H

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stddef.h>

#define CACHE_LINE 64
#define THREAD_SLOTS 64

/* Threads count in slots of their own, as far as these reach, so that they do not take each
 * other's cache lines away. */
static inline unsigned int thread_slot(void)
{
    static atomic_uint threads;
    static _Thread_local unsigned int slot; /* 0 until this thread has one */

    if (slot == 0)
        slot = 1 + atomic_fetch_add_explicit(&threads, 1, memory_order_relaxed) % THREAD_SLOTS;
    return slot - 1;
}

typedef struct {
    _Atomic(void *) value;
} shared_pointer;

static inline void *shared_load(shared_pointer *pointer)
{
    return atomic_load_explicit(&pointer->value, memory_order_seq_cst); /* see gate_enter() */
}

static inline void *shared_exchange(shared_pointer *pointer, void *value)
{
    return atomic_exchange_explicit(&pointer->value, value, memory_order_seq_cst);
}

/* Puts `node` in front of a list, which is taken as a whole, by shared_exchange(). `next` is where the node keeps
 * the one after it. */
static inline void shared_push(shared_pointer *list, void *node, void **next)
{
    void *first = shared_load(list);

    do
        *next = first;
    while (!atomic_compare_exchange_weak(&list->value, &first, node));
}

static inline int flag_load(atomic_int *object)
{
    return atomic_load_explicit(object, memory_order_seq_cst); /* see gate_enter() */
}

static inline void flag_store(atomic_int *object, int value)
{
    atomic_store_explicit(object, value, memory_order_seq_cst);
}

typedef struct {
    pthread_mutex_t writers;
    atomic_uint side; /* where readers enter now */
    struct {
        _Alignas(CACHE_LINE) atomic_size_t inside[2];
    } slots[THREAD_SLOTS];
} reader_gate;

/* Nobody is inside.  A forked child begins with it, too, by pthread_atfork(): it has one thread, but
 * the gates as others had them.  os.register_at_fork() would be too late: before its functions are
 * called, CPython frees what the other threads had.  The thread that forks is not inside. */
static inline void gate_init(reader_gate *gate)
{
    unsigned int i;

    pthread_mutex_init(&gate->writers, NULL);
    for (i = 0; i < THREAD_SLOTS; i++) {
        atomic_init(&gate->slots[i].inside[0], 0);
        atomic_init(&gate->slots[i].inside[1], 0);
    }
}

/* Returns where it was counted, for gate_leave(). */
static inline atomic_size_t *gate_enter(reader_gate *gate)
{
    unsigned int side = atomic_load_explicit(&gate->side, memory_order_relaxed);
    atomic_size_t *inside = &gate->slots[thread_slot()].inside[side];

    /* Sequentially consistent, as are the loads that follow and the writer's stores: either the
     * writer sees this reader, or this reader sees what the writer stored. */
    atomic_fetch_add_explicit(inside, 1, memory_order_seq_cst);
    return inside;
}

static inline void gate_leave(atomic_size_t *inside)
{
    atomic_fetch_sub_explicit(inside, 1, memory_order_release);
}

static inline void gate_wait_for_side(reader_gate *gate, unsigned int side)
{
    unsigned int i;

    for (i = 0; i < THREAD_SLOTS; i++)
        while (atomic_load_explicit(&gate->slots[i].inside[side], memory_order_seq_cst) != 0)
            sched_yield();
}

/* Returns when all who were inside at the call have left.  Readers who come meanwhile are sent to
 * the other side, so that they cannot keep it waiting for ever. */
static inline void gate_wait(reader_gate *gate)
{
    unsigned int side;

    pthread_mutex_lock(&gate->writers);
    side = atomic_load_explicit(&gate->side, memory_order_relaxed);
    /* First those who read `side` before the last writer changed it, and entered after that one
     * had looked. */
    gate_wait_for_side(gate, side ^ 1);
    atomic_store_explicit(&gate->side, side ^ 1, memory_order_seq_cst);
    gate_wait_for_side(gate, side);
    pthread_mutex_unlock(&gate->writers);
}

/* Begins what readers use and free_retired() frees. */
typedef struct {
    void *next;
} retired_node;

/* Puts a node that was replaced into a list of those to be freed. */
static inline void retire(shared_pointer *retired, retired_node *node)
{
    shared_push(retired, node, &node->next);
}

/* Frees the nodes of that list, once nobody uses them any more.  Not inside the gate. */
static inline void free_retired(shared_pointer *retired, reader_gate *gate, void (*free_node)(void *node))
{
    retired_node *node, *following;

    if (shared_load(retired) == NULL)
        return;
    node = (retired_node *)shared_exchange(retired, NULL);
    if (node != NULL)
        gate_wait(gate);
    for (; node != NULL; node = following) {
        following = (retired_node *)node->next;
        free_node(node);
    }
}

#endif
